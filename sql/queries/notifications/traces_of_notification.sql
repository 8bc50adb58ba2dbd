-- The traces in which a message's alerts were opened, the oldest alert's first. notified_alerts_by_notification. Parameter: notification_id.
SELECT a.traceparent FROM ops.notified_alerts AS l JOIN predictions.alerts AS a USING (alert_id)
WHERE l.notification_id = %(notification_id)s AND a.traceparent IS NOT NULL
GROUP BY a.traceparent ORDER BY min(a.alert_id) LIMIT 32
