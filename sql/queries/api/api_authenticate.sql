-- One row: the organization an API key opens (NULL: none), which the rest of the transaction then works for.
-- Parameters: key_sha256 bytea. Index: api_keys_key_sha256_key, inside ops.authenticate.
SELECT k.organization_id, set_config('simsight.organization_id', coalesce(k.organization_id::text, ''), true)
FROM (SELECT ops.authenticate(%(key_sha256)s::bytea) AS organization_id) AS k
