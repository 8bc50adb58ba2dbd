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
COMMENT ON COLUMN core.sim_lifecycle_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN core.sim_lifecycle_v1.iccid IS 'ICCID of the SIM: 19 digits, without the check digit';
COMMENT ON COLUMN core.sim_lifecycle_v1.entry_id IS 'Rises with the entries of a day';
COMMENT ON COLUMN core.sim_lifecycle_v1.occurred_on IS 'UTC day on which it happened; for a state, from which it holds';
COMMENT ON COLUMN core.sim_lifecycle_v1.kind IS 'state, imei_change, country_change or top_up';
COMMENT ON COLUMN core.sim_lifecycle_v1.from_value IS 'State, IMEI or country before; NULL for the first known and for a top-up';
COMMENT ON COLUMN core.sim_lifecycle_v1.to_value IS 'State, IMEI or country after; of a top-up data or sms';
COMMENT ON COLUMN core.sim_lifecycle_v1.evidence IS 'From what it is known, as a sentence with numbers';
COMMENT ON COLUMN core.sim_lifecycle_v1.as_of IS 'Last complete UTC day that was known when it was decided';
COMMENT ON COLUMN core.sim_lifecycle_v1.decided_by IS 'Who decided: the state machine and its version, or a person';
COMMENT ON COLUMN core.sim_lifecycle_v1.decided_at IS 'When it was decided (UTC)';

GRANT SELECT ON core.sim_lifecycle_v1 TO simsight_pipeline, simsight_api;
