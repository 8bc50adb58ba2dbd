-- One row: the newest migration applied.
SELECT max(version) AS version FROM ops.schema_migrations
