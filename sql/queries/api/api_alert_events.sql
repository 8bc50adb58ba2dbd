-- Events in the life of alerts after a given one, oldest first. Index alert_history_by_organization. Parameters: after, rows.
SELECT history_id AS id, alert_id, event, at, who, note, state, severity, value, as_of, iccid, label, kind, rule_id, rule, incident_id, threshold,
       message, opened_at, snoozed_until
FROM predictions.alert_history_v1 WHERE history_id > %(after)s::bigint ORDER BY history_id LIMIT %(rows)s
