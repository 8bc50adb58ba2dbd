-- Take up the messages that dead senders left, and drop those that need not be sent any more.
-- One row: how many were taken up again, are unknown, were dropped. Index: notifications_due. Parameters: now.
WITH lost AS (
    UPDATE ops.notifications AS n SET
        state = CASE c.after_crash WHEN 'resend' THEN 'pending' ELSE 'unknown' END, lease_until = NULL, next_attempt_at = %(now)s,
        last_error = CASE c.after_crash WHEN 'resend' THEN 'the sender died while it was sending; sent again with the same key'
                     ELSE 'the sender died while it was sending; not sent again, since it may have arrived' END
    FROM ops.channels AS c
    WHERE c.channel_id = n.channel_id AND n.state = 'sending' AND n.lease_until < %(now)s
    RETURNING n.state
), dropped AS (
    UPDATE ops.notifications AS n SET state = 'dropped', last_error = 'all was over or seen to before it was sent'
    WHERE n.state = 'pending' AND n.attempts = 0 AND n.digest_day IS NULL AND n.report_id IS NULL AND n.stage <> 'resolved'
      AND NOT EXISTS (
        SELECT FROM ops.notified_alerts AS l JOIN predictions.alerts AS a USING (alert_id)
        WHERE l.notification_id = n.notification_id
          AND (a.state = 'open' OR (a.closed_at IS NULL AND n.stage NOT LIKE 'escalation %%')))
    RETURNING 1
)
SELECT count(*) FILTER (WHERE state = 'pending') AS taken_up, count(*) FILTER (WHERE state = 'unknown') AS unknown,
       (SELECT count(*) FROM dropped) AS dropped
FROM lost;
