-- A new scoring task needs no migration: its name must have a form and not be one of a list. And what the steps of a scoring hand each
-- other stands in the database, so that they need no disk in common.
SET LOCAL ROLE simsight_owner;

ALTER TABLE ops.stale_predictions
    DROP CONSTRAINT stale_predictions_part_check,
    ADD CONSTRAINT stale_predictions_part_check CHECK (part ~ '^[a-z][a-z0-9_]{0,62}$');
ALTER TABLE ops.scored_sims
    DROP CONSTRAINT scored_sims_part_check,
    ADD CONSTRAINT scored_sims_part_check CHECK (part ~ '^[a-z][a-z0-9_]{0,62}$');
ALTER TABLE ops.staged_blocks
    DROP CONSTRAINT staged_blocks_part_check,
    ADD CONSTRAINT staged_blocks_part_check CHECK (part ~ '^[a-z][a-z0-9_]{0,62}$');
COMMENT ON COLUMN ops.stale_predictions.part IS 'Name of the scoring task, such as usage_forecasts or exhaustions';
COMMENT ON COLUMN ops.scored_sims.part IS 'Name of the scoring task, such as usage_forecasts or exhaustions';
COMMENT ON COLUMN ops.staged_blocks.part IS 'Name of the scoring task, such as usage_forecasts, exhaustions or anomalies';

CREATE TABLE ops.staged_values (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    work_id text NOT NULL,
    name text NOT NULL,
    part text NOT NULL CHECK (part ~ '^[a-z][a-z0-9_]{0,62}$'),
    content bytea NOT NULL,
    staged_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, work_id, name)
);
ALTER TABLE ops.staged_values ALTER COLUMN content SET STORAGE EXTERNAL;  -- it is compressed already
COMMENT ON TABLE ops.staged_values IS 'One row a value that a step of a scoring hands to later ones, such as what all blocks of an as-of day have in common';
COMMENT ON COLUMN ops.staged_values.organization_id IS 'Organization';
COMMENT ON COLUMN ops.staged_values.work_id IS 'Run that staged it';
COMMENT ON COLUMN ops.staged_values.name IS 'Which value of the run';
COMMENT ON COLUMN ops.staged_values.part IS 'Name of the scoring task, such as usage_forecasts, exhaustions or anomalies';
COMMENT ON COLUMN ops.staged_values.content IS 'The value: a zip archive of JSON, NumPy arrays and Arrow IPC files';
COMMENT ON COLUMN ops.staged_values.staged_at IS 'When it was staged (UTC)';
SELECT ops.guard('ops.staged_values', api_reads => false);
