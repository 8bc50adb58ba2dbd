-- Revoke every key of that name that is not revoked yet. Parameters: name text.
UPDATE ops.api_keys SET revoked_at = now() WHERE name = %(name)s::text AND revoked_at IS NULL
