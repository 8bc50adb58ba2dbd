-- One row: done, unknown, closed or own. Parameters: by, action_id, approve, now.
SELECT ops.decide_action_here(%(by)s::text, %(action_id)s::bigint, %(approve)s::boolean, %(now)s::timestamptz) AS outcome
