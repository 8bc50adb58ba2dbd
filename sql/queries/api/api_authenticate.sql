-- One row: the organization an API key opens (NULL: none), which the rest of the transaction then works for, and the moment of the database
-- (as api_moment).
-- Parameters: key_sha256 bytea. Indexes: api_keys_key_sha256_key and the primary key of ops.organization_secrets, inside ops.enter_by_key.
SELECT ops.enter_by_key(%(key_sha256)s::bytea) AS organization_id,
       CASE WHEN NOT pg_is_in_recovery() THEN concat(
           pg_postmaster_start_time(), ' ', pg_stat_get_bgwriter_stat_reset_time(), ' ', pg_current_snapshot()
       ) END AS moment
