-- One alert. Primary key.
SELECT alert_id, iccid, label, kind, severity, value, threshold, message, opened_as_of, opened_at, seen_as_of,
       closed_as_of, closed_at, model_name, model_version, run_id, state, rule_id, rule, incident_id, snoozed_until, acted_by, acted_at, note
FROM predictions.alerts_v1 WHERE alert_id = %(alert_id)s
