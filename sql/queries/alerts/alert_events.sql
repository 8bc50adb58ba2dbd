-- The history of an alert, oldest first. Index alert_history_by_alert.
SELECT history_id, event, at, who, note, state, severity, value, as_of FROM predictions.alert_history
WHERE alert_id = %(alert_id)s ORDER BY history_id
