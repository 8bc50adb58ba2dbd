-- One alert, also a closed one. Parameter: alert_id bigint.
SELECT alert_id, iccid, label, kind, severity, message, opened_as_of, seen_as_of, state, rule, incident_id, snoozed_until, acted_by, acted_at, note
FROM predictions.alerts_v1 WHERE alert_id = %(alert_id)s::bigint
