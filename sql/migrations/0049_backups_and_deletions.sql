-- What was backed up, when, and whether it was read through: for `simsight status` and whoever watches the age of it.
SET LOCAL ROLE simsight_owner;

CREATE TABLE ops.backups (
    name text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('full', 'incremental')),
    after text,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL CHECK (finished_at >= started_at),
    bytes bigint NOT NULL CHECK (bytes >= 0),
    verified boolean NOT NULL,
    removed_at timestamptz
);
COMMENT ON TABLE ops.backups IS 'One row a backup of the whole server, of all organizations; it is written after the backup, so that a backup knows those before it';
COMMENT ON COLUMN ops.backups.name IS 'Folder of the backup, below that of the home';
COMMENT ON COLUMN ops.backups.kind IS 'full, or incremental: what changed since the one before';
COMMENT ON COLUMN ops.backups.after IS 'The backup that an incremental one goes on from; NULL for a full one';
COMMENT ON COLUMN ops.backups.started_at IS 'When it began (UTC)';
COMMENT ON COLUMN ops.backups.finished_at IS 'When it ended (UTC): any time from here on can be restored with it and the log';
COMMENT ON COLUMN ops.backups.bytes IS 'Bytes that it takes';
COMMENT ON COLUMN ops.backups.verified IS 'Whether it was whole when it was last read through';
COMMENT ON COLUMN ops.backups.removed_at IS 'When it was removed, or found to be gone (UTC); NULL: it is there';
GRANT SELECT ON ops.backups TO simsight_pipeline;

-- What was deleted for good, without what it was: numbers that lead nowhere any more.
CREATE TABLE ops.deletions (
    deletion_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind text NOT NULL CHECK (kind IN ('sim', 'organization')),
    gone bigint NOT NULL,
    by_whom text NOT NULL,
    rows bigint NOT NULL
);
COMMENT ON TABLE ops.deletions IS 'One row a SIM or an organization that was deleted with all that was known of it';
COMMENT ON COLUMN ops.deletions.deletion_id IS 'Key';
COMMENT ON COLUMN ops.deletions.at IS 'When (UTC); backups from before still hold it until they are removed';
COMMENT ON COLUMN ops.deletions.kind IS 'sim or organization';
COMMENT ON COLUMN ops.deletions.gone IS 'Its number here, which no other row has';
COMMENT ON COLUMN ops.deletions.by_whom IS 'Who did it';
COMMENT ON COLUMN ops.deletions.rows IS 'Rows that were deleted or made unreadable';
