-- What became of one attempt; touches no row when another sender has settled it. state `again`: it had no effect and may be sent
-- again. Parameters: action_id, attempts, state, order_number, message, now.
UPDATE ops.action_requests AS r
SET state = CASE WHEN %(state)s::text <> 'again' THEN %(state)s::text WHEN r.decided_by IS NULL THEN 'requested' ELSE 'approved' END,
    order_number = coalesce(%(order_number)s::bigint, r.order_number), message = %(message)s::text, changed_by = 'sender',
    changed_at = %(now)s::timestamptz
WHERE r.action_id = %(action_id)s::bigint AND r.state = 'sending' AND r.attempts = %(attempts)s::smallint
