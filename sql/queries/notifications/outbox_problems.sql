-- Messages that did not arrive, or may not have, newest first, the first %(rows)s; what waits for a disabled channel has the channel's reason.
SELECT n.notification_id, c.name AS channel, n.stage, n.severity, n.state, n.attempts, n.created_at, n.next_attempt_at,
       CASE WHEN n.state = 'pending' AND c.parked_at IS NOT NULL THEN coalesce(n.last_error, 'the channel is disabled: ' || c.parked_reason)
            ELSE n.last_error END AS last_error
FROM ops.notifications AS n JOIN ops.channels AS c USING (channel_id)
WHERE n.state IN ('dead', 'unknown') OR (n.state = 'pending' AND (n.last_error IS NOT NULL OR c.parked_at IS NOT NULL))
ORDER BY n.notification_id DESC LIMIT %(rows)s
