-- How many SIMs are in each state as of %(as_of)s. A count that has not changed is not written.
-- staged: state text, sims integer
INSERT INTO core.sim_state_counts AS c (organization_id, as_of, state, sims, evaluated_at)
SELECT (SELECT ops.current_organization()), %(as_of)s, state, sims, %(now)s FROM staged
ON CONFLICT (organization_id, as_of, state) DO UPDATE SET sims = excluded.sims, evaluated_at = excluded.evaluated_at
WHERE c.sims <> excluded.sims;
