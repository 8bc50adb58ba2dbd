-- What the dashboard reads and who is signed in to it.
SET LOCAL ROLE simsight_owner;

CREATE TABLE predictions.fleet_summaries (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    as_of date NOT NULL,
    content jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, as_of)
);
COMMENT ON TABLE predictions.fleet_summaries IS 'One row an as-of day: the fleet as the dashboard shows it, written with the report';
COMMENT ON COLUMN predictions.fleet_summaries.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.fleet_summaries.as_of IS 'Last day that was known';
COMMENT ON COLUMN predictions.fleet_summaries.content IS 'Figures, daily usage and forecast, first SIMs of each list, money; volumes in bytes (millionths of a MB), amounts in minor units';
COMMENT ON COLUMN predictions.fleet_summaries.created_at IS 'When it was written (UTC)';
SELECT ops.guard('predictions.fleet_summaries');
