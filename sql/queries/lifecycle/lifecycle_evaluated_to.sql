-- The last as-of day the states stand for; NULL when never evaluated.
SELECT max(as_of) AS as_of FROM core.sim_state_counts;
