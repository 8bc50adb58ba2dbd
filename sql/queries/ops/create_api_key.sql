-- One row: done, taken (a live key has the name) or expired (by the server's clock). Parameters: who, name text, key_sha256 bytea,
-- expires_at timestamptz or NULL for never, scopes text[], networks text[], for_tokens boolean, now timestamptz.
SELECT ops.add_api_key_here(%(who)s::text, %(name)s::text, %(key_sha256)s::bytea, %(expires_at)s::timestamptz, %(scopes)s::text[],
                            %(networks)s::text[]::cidr[], %(for_tokens)s::boolean, %(now)s::timestamptz) AS outcome
