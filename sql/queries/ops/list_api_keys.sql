-- One row a key of the organization, oldest first; never the key itself.
SELECT name, created_at, expires_at, revoked_at, can_write, may_act FROM ops.api_keys ORDER BY key_id
