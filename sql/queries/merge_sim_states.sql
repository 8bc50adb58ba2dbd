-- The state of every SIM as of a day; what changed goes into the history. Writes nothing where the state stays.
-- staged: sim_key integer, state text, since date, evidence text, decided_as_of date, decided_by text, decided_at timestamptz
WITH compared AS (
    SELECT s.*, t.state AS was FROM staged AS s LEFT JOIN core.sim_states AS t USING (sim_key) WHERE t.state IS DISTINCT FROM s.state
), history AS (
    INSERT INTO core.sim_lifecycle
        (organization_id, sim_key, kind, occurred_on, from_value, to_value, evidence, decided_by, decided_at)
    SELECT ops.current_organization(), sim_key, 'state', since, was, state, evidence, decided_by, decided_at FROM compared
    ON CONFLICT (sim_key, kind, occurred_on, to_value) DO NOTHING
), written AS (
    INSERT INTO core.sim_states (organization_id, sim_key, state, since, evidence, decided_as_of, decided_by, decided_at)
    SELECT ops.current_organization(), sim_key, state, since, evidence, decided_as_of, decided_by, decided_at FROM compared
    ON CONFLICT (sim_key) DO UPDATE SET
        state = excluded.state, since = excluded.since, evidence = excluded.evidence,
        decided_as_of = excluded.decided_as_of, decided_by = excluded.decided_by, decided_at = excluded.decided_at
)
SELECT count(*) FILTER (WHERE was IS NULL) AS new, count(*) FILTER (WHERE was IS NOT NULL) AS changed,
       (SELECT count(*) FROM staged) - count(*) AS unchanged
FROM compared;
