-- One row: messages a sender could take now, or that a dead one has in hand. Index notifications_due.
SELECT count(*) AS due FROM ops.notifications AS n JOIN ops.channels AS c USING (channel_id)
WHERE c.deleted_at IS NULL
  AND ((n.state = 'pending' AND n.next_attempt_at <= %(now)s AND (c.parked_at IS NULL OR c.parked_at <= %(now)s::timestamptz - interval '1 hour'))
       OR (n.state = 'sending' AND n.lease_until < %(now)s))
