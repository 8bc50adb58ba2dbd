-- One row: done, may-not-act, unknown, closed or own. Parameters: key_sha256, action_id, now.
SELECT ops.approve_action(%(key_sha256)s::bytea, %(action_id)s::bigint, %(now)s::timestamptz) AS outcome
