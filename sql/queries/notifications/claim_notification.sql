-- Take the next message that is due on a channel: the loudest, then the oldest. No row: none. Quiet hours hold back what is not critical; a parked
-- channel is tried with one message an hour. Index: notifications_due. Parameters: channel_id, now, lease_until, retry_disabled (time).
UPDATE ops.notifications SET state = 'sending', attempts = attempts + 1, lease_until = %(lease_until)s
WHERE notification_id = (
    SELECT n.notification_id FROM ops.notifications AS n JOIN ops.channels AS c USING (channel_id)
    WHERE n.channel_id = %(channel_id)s AND n.state = 'pending' AND n.next_attempt_at <= %(now)s
      AND c.deleted_at IS NULL AND (c.parked_at IS NULL OR c.parked_at <= %(retry_disabled)s)
      AND (n.severity = 'critical' OR NOT EXISTS (
        SELECT FROM ops.quiet_hours AS q CROSS JOIN LATERAL (SELECT %(now)s::timestamptz AT TIME ZONE q.time_zone AS at) AS l
        WHERE (q.channel_id IS NULL OR q.channel_id = n.channel_id)
          AND CASE WHEN q.from_time < q.to_time
              THEN l.at::time >= q.from_time AND l.at::time < q.to_time AND extract(isodow FROM l.at) = ANY(q.days)
              ELSE (l.at::time >= q.from_time AND extract(isodow FROM l.at) = ANY(q.days))
                OR (l.at::time < q.to_time AND extract(isodow FROM l.at - interval '1 day') = ANY(q.days)) END))
    ORDER BY array_position(ARRAY['critical', 'warning', 'info'], n.severity), n.notification_id
    LIMIT 1 FOR UPDATE OF n SKIP LOCKED)
RETURNING notification_id, delivery_key, stage, severity, digest_day, digest_since, report_id, created_at, attempts
