-- Messages that did not arrive, or may not have, newest first, the first %(rows)s.
SELECT n.notification_id, c.name AS channel, n.stage, n.severity, n.state, n.attempts, n.created_at, n.next_attempt_at, n.last_error
FROM ops.notifications AS n JOIN ops.channels AS c USING (channel_id)
WHERE n.state IN ('dead', 'unknown') OR (n.state = 'pending' AND n.last_error IS NOT NULL)
ORDER BY n.notification_id DESC LIMIT %(rows)s
