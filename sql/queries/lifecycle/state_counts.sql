-- How many SIMs were in each state, one row an evaluated as-of day and state, the last %(days)s days up to %(as_of)s.
SELECT as_of, state, sims FROM core.sim_state_counts
WHERE as_of <= %(as_of)s AND as_of > %(as_of)s::date - %(days)s::integer
ORDER BY as_of, state;
