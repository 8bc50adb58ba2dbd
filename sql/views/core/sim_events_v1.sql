CREATE OR REPLACE VIEW core.sim_events_v1 WITH (security_invoker = true) AS
SELECT
    e.organization_id,
    s.iccid,
    e.occurred_at,
    e.event_type,
    e.severity,
    e.alert,
    e.imei,
    e.country,
    e.operator
FROM own.sim_events AS e
JOIN core.sims AS s USING (sim_key);

COMMENT ON VIEW core.sim_events_v1 IS 'One row an event of a SIM';
COMMENT ON COLUMN core.sim_events_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN core.sim_events_v1.iccid IS 'ICCID of the SIM: 19 digits, without the check digit';
COMMENT ON COLUMN core.sim_events_v1.occurred_at IS 'When it happened (UTC), to the second';
COMMENT ON COLUMN core.sim_events_v1.event_type IS
    'Type of event in one wording for REST and stream, such as Create PDP Context; of a type that is not known, what 1NCE said';
COMMENT ON COLUMN core.sim_events_v1.severity IS 'INFO, WARN or CRITICAL';
COMMENT ON COLUMN core.sim_events_v1.alert IS 'Whether 1NCE marks it as an alert';
COMMENT ON COLUMN core.sim_events_v1.imei IS 'IMEI of the device at the time';
COMMENT ON COLUMN core.sim_events_v1.country IS 'Visited country';
COMMENT ON COLUMN core.sim_events_v1.operator IS 'Visited operator';

GRANT SELECT ON core.sim_events_v1 TO simsight_pipeline, simsight_api;
