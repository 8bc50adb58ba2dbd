-- Ends a session. Parameter: session_sha256 bytea.
SELECT ops.close_session(%(session_sha256)s::bytea)
