-- One row a key: the organization it opens (NULL: none), and the moment of the database. Two moments that are equal have nothing committed
-- between them: a snapshot names every transaction that writes and is not seen, and a server that was started again has another name. NULL on a
-- replica, whose snapshots do not say as much.
-- Parameters: keys bytea[] (SHA-256). Index: api_keys_key_sha256_key, inside ops.authenticate.
SELECT k.key_sha256, ops.authenticate(k.key_sha256) AS organization_id,
       CASE WHEN NOT pg_is_in_recovery() THEN concat(pg_postmaster_start_time(), ' ', pg_current_snapshot()) END AS moment
FROM unnest(%(keys)s::bytea[]) AS k (key_sha256)
