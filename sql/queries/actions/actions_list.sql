-- Actions, the newest first. Parameters: before bigint or NULL, state or NULL, rows.
SELECT * FROM ops.actions(%(before)s::bigint, %(state)s::text, %(rows)s::integer)
