-- One row: whether the key is live, for which the session then stands. Parameters: presented, session_sha256 bytea; hours integer.
SELECT ops.open_session(%(presented)s::bytea, %(session_sha256)s::bytea, make_interval(hours => %(hours)s::integer)) AS opened
