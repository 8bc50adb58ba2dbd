CREATE OR REPLACE VIEW core.account_events_v1 WITH (security_invoker = true) AS
SELECT
    organization_id,
    record_id,
    occurred_at,
    event_type,
    severity,
    alert,
    description,
    known_at
FROM core.account_events;

COMMENT ON VIEW core.account_events_v1 IS 'One row an event of the account, which is about no SIM';

GRANT SELECT ON core.account_events_v1 TO simsight_pipeline, simsight_api;
