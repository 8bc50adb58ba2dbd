-- One row an alert: id, iccid, label and the alert in a sentence. Parameter: things bigint[], whose order the rows have.
SELECT alert_id::text AS id, iccid, label, message AS text
FROM predictions.alerts_v1 WHERE alert_id = ANY (%(things)s::bigint[])
ORDER BY array_position(%(things)s::bigint[], alert_id)
