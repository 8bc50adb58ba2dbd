-- One row a key: the organization it opens (NULL: none), and the moment of the database. Two moments that are equal have nothing committed
-- between them: a snapshot names every transaction that writes and is not seen. A server that was started again began at another time, and one
-- that went on after a crash has new statistics: it may give numbers again of transactions that the crash took. NULL on a replica, whose
-- snapshots do not say as much.
-- Parameters: keys bytea[] (SHA-256). Index: api_keys_key_sha256_key, inside ops.authenticate.
SELECT k.key_sha256, ops.authenticate(k.key_sha256) AS organization_id,
       CASE WHEN NOT pg_is_in_recovery() THEN concat(
           pg_postmaster_start_time(), ' ', pg_stat_get_bgwriter_stat_reset_time(), ' ', pg_current_snapshot()
       ) END AS moment
FROM unnest(%(keys)s::bytea[]) AS k (key_sha256)
