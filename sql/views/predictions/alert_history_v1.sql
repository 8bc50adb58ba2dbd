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

GRANT SELECT ON predictions.alert_history_v1 TO simsight_pipeline, simsight_api;
