-- Pipeline runs that failed, so that somebody who does not look at the Dagster UI learns of it.
SET LOCAL ROLE simsight_owner;

CREATE TABLE ops.run_failures (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    run_id text NOT NULL,
    job text NOT NULL,
    failed_at timestamptz NOT NULL,
    message text NOT NULL,
    PRIMARY KEY (organization_id, run_id)
);
COMMENT ON TABLE ops.run_failures IS 'One row a pipeline run that failed';
COMMENT ON COLUMN ops.run_failures.organization_id IS 'Organization';
COMMENT ON COLUMN ops.run_failures.run_id IS 'Dagster''s id of the run';
COMMENT ON COLUMN ops.run_failures.job IS 'Job';
COMMENT ON COLUMN ops.run_failures.failed_at IS 'When it failed (UTC)';
COMMENT ON COLUMN ops.run_failures.message IS 'The first line of what went wrong';
SELECT ops.guard('ops.run_failures', api_reads => false);
