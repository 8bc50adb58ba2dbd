-- One row: the organization an API key opens (NULL: none), and its secret, by which later transactions work for it.
-- Parameters: key_sha256 bytea. Indexes as of api_authenticate.
SELECT organization_id, current_setting('simsight.organization', true) AS secret
FROM (SELECT ops.enter_by_key(%(key_sha256)s::bytea) AS organization_id OFFSET 0) AS k
