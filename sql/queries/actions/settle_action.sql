-- A person says what became of an unclear action. Parameters: action_id, state (done or failed), by, note, now.
UPDATE ops.action_requests
SET state = %(state)s::text, message = %(note)s::text, changed_by = %(by)s::text, changed_at = %(now)s::timestamptz
WHERE action_id = %(action_id)s::bigint AND state = 'unclear'
