-- One row: outcome (done, unknown, tokens, beyond, not-admin), expires_at of the new key, old_until, scopes. Parameters:
-- presented bytea, name text, key_sha256 bytea, overlap interval, granted text[], now timestamptz.
SELECT * FROM ops.replace_api_key_by(%(presented)s::bytea, %(name)s::text, %(key_sha256)s::bytea, %(overlap)s::interval,
                                     %(granted)s::text[], %(now)s::timestamptz)
