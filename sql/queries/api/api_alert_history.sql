-- The events of an alert, oldest first. Index alert_history_by_alert.
SELECT history_id AS id, event, at, who, note, alert_id, state, severity, value, as_of, iccid, label, kind, rule_id, rule, incident_id, threshold,
       message, opened_at, snoozed_until
FROM predictions.alert_history_v1 WHERE alert_id = %(alert_id)s ORDER BY history_id LIMIT 1000
