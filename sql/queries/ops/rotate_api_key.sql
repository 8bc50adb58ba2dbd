-- One row: outcome (done, unknown, tokens), expires_at of the new key, old_until, scopes. Parameters: who, name text,
-- key_sha256 bytea, overlap interval, now timestamptz.
SELECT * FROM ops.replace_api_key_here(%(who)s::text, %(name)s::text, %(key_sha256)s::bytea, %(overlap)s::interval, %(now)s::timestamptz)
