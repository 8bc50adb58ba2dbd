-- The alerts a message is about, the loudest first, the first %(rows)s; and on each row how many there are. notified_alerts_by_notification.
SELECT a.alert_id, a.iccid, a.label, a.kind, a.rule, a.incident_id, a.severity, a.state, a.value, a.threshold, a.message, a.opened_as_of,
       a.opened_at, a.closed_at, count(*) OVER () AS of
FROM ops.notified_alerts AS l JOIN predictions.alerts_v1 AS a USING (alert_id)
WHERE l.notification_id = %(notification_id)s
ORDER BY array_position(ARRAY['critical', 'warning', 'info'], a.severity), a.value DESC NULLS LAST, a.alert_id
LIMIT %(rows)s
