-- One row an open alert of a SIM, newest first.
SELECT alert_id, kind, severity, state, message, opened_as_of FROM predictions.alerts_v1
WHERE iccid = %(iccid)s AND closed_at IS NULL ORDER BY alert_id DESC LIMIT %(rows)s
