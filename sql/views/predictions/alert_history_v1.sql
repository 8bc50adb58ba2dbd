CREATE OR REPLACE VIEW predictions.alert_history_v1 WITH (security_invoker = true) AS
SELECT
    h.organization_id,
    h.history_id,
    h.alert_id,
    h.event,
    h.at,
    h.who,
    h.note,
    h.state,
    h.severity,
    h.value,
    h.as_of,
    a.iccid,
    a.label,
    a.kind,
    a.rule_id,
    a.rule,
    a.incident_id,
    a.threshold,
    a.message,
    a.opened_at,
    a.snoozed_until
FROM predictions.alert_history AS h
JOIN predictions.alerts_v1 AS a USING (alert_id);

COMMENT ON VIEW predictions.alert_history_v1 IS
    'One row an event in the life of an alert, oldest first by history_id; '
    'message and snoozed_until are the alert''s present ones';
COMMENT ON COLUMN predictions.alert_history_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN predictions.alert_history_v1.history_id IS
    'Key; within an organization it rises in the order in which events become visible: who has seen one has seen all before it';
COMMENT ON COLUMN predictions.alert_history_v1.alert_id IS 'The alert';
COMMENT ON COLUMN predictions.alert_history_v1.event IS
    'opened; severity: it grew louder or quieter; acknowledged; snoozed; reopened: by hand or because its snooze is over; resolved';
COMMENT ON COLUMN predictions.alert_history_v1.at IS 'When it happened (UTC)';
COMMENT ON COLUMN predictions.alert_history_v1.who IS 'Who did it; NULL: the pipeline';
COMMENT ON COLUMN predictions.alert_history_v1.note IS 'What was said with it';
COMMENT ON COLUMN predictions.alert_history_v1.state IS 'State of the alert after it';
COMMENT ON COLUMN predictions.alert_history_v1.severity IS 'Severity after it';
COMMENT ON COLUMN predictions.alert_history_v1.value IS 'What was measured last by then';
COMMENT ON COLUMN predictions.alert_history_v1.as_of IS 'Last as-of day on which the alert had held by then';
COMMENT ON COLUMN predictions.alert_history_v1.iccid IS 'ICCID of the SIM; NULL: the alert is about the fleet or an incident';
COMMENT ON COLUMN predictions.alert_history_v1.label IS 'Name of the SIM: the customer''s own or else 1NCE''s; NULL: it has none';
COMMENT ON COLUMN predictions.alert_history_v1.kind IS 'Kind of the alert: exhaustion, quota_80, silent, anomaly, rule or incident';
COMMENT ON COLUMN predictions.alert_history_v1.rule_id IS 'Rule that opened it; NULL: none';
COMMENT ON COLUMN predictions.alert_history_v1.rule IS 'Name of that rule';
COMMENT ON COLUMN predictions.alert_history_v1.incident_id IS 'Incident it is about; NULL: none';
COMMENT ON COLUMN predictions.alert_history_v1.threshold IS 'What value is held against, same unit';
COMMENT ON COLUMN predictions.alert_history_v1.message IS 'The alert in a sentence, as it is now';
COMMENT ON COLUMN predictions.alert_history_v1.opened_at IS 'When the alert was opened (UTC)';
COMMENT ON COLUMN predictions.alert_history_v1.snoozed_until IS 'Until when it is, or was last, snoozed (UTC)';

GRANT SELECT ON predictions.alert_history_v1 TO simsight_pipeline, simsight_api;
