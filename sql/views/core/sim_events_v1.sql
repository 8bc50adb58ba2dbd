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

GRANT SELECT ON core.sim_events_v1 TO simsight_pipeline, simsight_api;
