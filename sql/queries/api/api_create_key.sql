-- One row: done, taken, expired, not-admin or beyond (a scope that the asking key has not). Parameters: presented bytea, name text,
-- key_sha256 bytea, expires_at timestamptz or NULL, scopes text[], networks text[], now timestamptz.
SELECT ops.add_api_key_by(%(presented)s::bytea, %(name)s::text, %(key_sha256)s::bytea, %(expires_at)s::timestamptz, %(scopes)s::text[],
                          %(networks)s::text[]::cidr[], %(now)s::timestamptz) AS outcome
