-- One row, none when a live key of that name exists: the new key, and whether it has expired by the server's clock.
-- Parameters: name text, key_sha256 bytea, now timestamptz, expires_at timestamptz or NULL for never, can_write boolean,
-- may_act boolean.
INSERT INTO ops.api_keys (organization_id, name, key_sha256, created_at, expires_at, can_write, may_act)
SELECT (SELECT ops.current_organization()), %(name)s::text, %(key_sha256)s::bytea, %(now)s::timestamptz, %(expires_at)s::timestamptz,
       %(can_write)s::boolean, %(may_act)s::boolean
WHERE NOT EXISTS (
    SELECT FROM ops.api_keys
    WHERE name = %(name)s::text AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()))
RETURNING coalesce(expires_at <= now(), false) AS expired
