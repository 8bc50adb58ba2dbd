-- The state of each SIM: one row a SIM. What is staged has changed or is new. Evidence, as_of and who decided stay those of the decision
-- while state and cause do.
-- staged: sim_key integer, state text, since date, cause text, evidence text, as_of date, decided_by text, decided_at timestamptz, off_on date, resumed_on date
WITH compared AS (
    SELECT s.*, t.sim_key IS NOT NULL AS is_known,
           t.sim_key IS NOT NULL AND (t.state, t.since, t.cause) IS NOT DISTINCT FROM (s.state, s.since, s.cause) AS is_same,
           t.evidence AS old_evidence, t.as_of AS old_as_of, t.decided_by AS old_decided_by, t.decided_at AS old_decided_at
    FROM staged AS s LEFT JOIN core.sim_states AS t USING (sim_key)
), written AS (
    INSERT INTO core.sim_states AS t
        (organization_id, sim_key, state, since, cause, evidence, as_of, decided_by, decided_at, off_on, resumed_on)
    SELECT (SELECT ops.current_organization()), sim_key, state, since, cause, CASE WHEN is_same THEN old_evidence ELSE evidence END,
           CASE WHEN is_same THEN old_as_of ELSE as_of END, CASE WHEN is_same THEN old_decided_by ELSE decided_by END,
           CASE WHEN is_same THEN old_decided_at ELSE decided_at END, off_on, resumed_on
    FROM compared
    ON CONFLICT (sim_key) DO UPDATE SET
        state = excluded.state, since = excluded.since, cause = excluded.cause, evidence = excluded.evidence, as_of = excluded.as_of,
        decided_by = excluded.decided_by, decided_at = excluded.decided_at, off_on = excluded.off_on, resumed_on = excluded.resumed_on
)
SELECT count(*) FILTER (WHERE NOT is_known) AS new, count(*) FILTER (WHERE is_known) AS changed, 0::bigint AS unchanged FROM compared;
