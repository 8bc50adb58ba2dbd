-- One row: how far this server is in the log of its cluster, and the last write of people in the organization of the transaction.
-- Reads no table but ops.action_log, by its primary key inside ops.last_write.
SELECT
    (SELECT c.system_identifier FROM pg_control_system() AS c) AS cluster,
    pg_is_in_recovery() AS replica,
    (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn)::bigint AS position,
    clock_timestamp() AS now,
    pg_last_xact_replay_timestamp() AS replayed_at,
    ops.last_write() AS last_write
