-- Record the outcome of sending, unless another sender has claimed the message meanwhile.
-- Parameters: notification_id, attempts (at the claim), state, now, next_attempt_at, error, counts (whether the attempt counts).
UPDATE ops.notifications SET state = %(state)s, lease_until = NULL, last_error = %(error)s, next_attempt_at = %(next_attempt_at)s,
    attempts = CASE WHEN %(counts)s THEN attempts ELSE attempts - 1 END, sent_at = CASE WHEN %(state)s = 'sent' THEN %(now)s::timestamptz END
WHERE notification_id = %(notification_id)s AND state = 'sending' AND attempts = %(attempts)s;
