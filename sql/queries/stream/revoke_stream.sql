-- Revoke the live stream of that name. Parameters: name text, now timestamptz. Index streams_live.
UPDATE ops.streams SET revoked_at = %(now)s::timestamptz WHERE name = %(name)s::text AND revoked_at IS NULL
