CREATE OR REPLACE VIEW core.sim_lifecycle_v1 WITH (security_invoker = true) AS
SELECT
    l.organization_id,
    s.iccid,
    l.entry_id,
    l.occurred_on,
    l.kind,
    l.from_value,
    l.to_value,
    l.evidence,
    l.as_of,
    l.decided_by,
    l.decided_at
FROM core.sim_lifecycle AS l
JOIN core.sims AS s USING (sim_key);

COMMENT ON VIEW core.sim_lifecycle_v1 IS
    'One row an entry in the life of a SIM: a state it entered, a change of device or country, a top-up. '
    'In order by occurred_on, entry_id';

GRANT SELECT ON core.sim_lifecycle_v1 TO simsight_pipeline, simsight_api;
