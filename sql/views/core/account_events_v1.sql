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
COMMENT ON COLUMN core.account_events_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN core.account_events_v1.record_id IS 'Id of the Data Streamer''s record';
COMMENT ON COLUMN core.account_events_v1.occurred_at IS 'When it happened (UTC)';
COMMENT ON COLUMN core.account_events_v1.event_type IS 'Type of event in 1NCE''s words';
COMMENT ON COLUMN core.account_events_v1.severity IS 'INFO, WARN or CRITICAL, as 1NCE spells it';
COMMENT ON COLUMN core.account_events_v1.alert IS 'Whether 1NCE marks it as an alert';
COMMENT ON COLUMN core.account_events_v1.description IS 'What happened, in 1NCE''s words';
COMMENT ON COLUMN core.account_events_v1.known_at IS 'When the record came (UTC)';

GRANT SELECT ON core.account_events_v1 TO simsight_pipeline, simsight_api;
