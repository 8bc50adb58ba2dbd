-- Forecasts of totals: the fleet, groups of SIMs by the beginning of their label, countries.
SET LOCAL ROLE simsight_owner;

CREATE TABLE predictions.aggregate_forecasts (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    as_of date NOT NULL,
    kind text NOT NULL CHECK (kind IN ('fleet', 'label', 'country')),
    name text NOT NULL,
    day date NOT NULL,
    method text NOT NULL,
    sims integer NOT NULL,
    mean bigint NOT NULL,
    q025 bigint NOT NULL,
    q10 bigint NOT NULL,
    q50 bigint NOT NULL,
    q90 bigint NOT NULL,
    q975 bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, as_of, kind, name, day)
);
COMMENT ON TABLE predictions.aggregate_forecasts IS 'One row an as-of day, group of SIMs and day ahead: the group''s total use, forecast as one series';
COMMENT ON COLUMN predictions.aggregate_forecasts.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.aggregate_forecasts.as_of IS 'Last complete day that was known';
COMMENT ON COLUMN predictions.aggregate_forecasts.kind IS 'fleet; label: SIMs whose label begins alike; country: SIMs last seen in it';
COMMENT ON COLUMN predictions.aggregate_forecasts.name IS 'The label''s beginning up to its first separator (- _ / : . or space), or the country; fleet for the fleet';
COMMENT ON COLUMN predictions.aggregate_forecasts.day IS 'UTC day that is forecast';
COMMENT ON COLUMN predictions.aggregate_forecasts.method IS 'usage-forecaster, prophet or mean of both: what missed least by from earlier days';
COMMENT ON COLUMN predictions.aggregate_forecasts.sims IS 'SIMs of the group';
COMMENT ON COLUMN predictions.aggregate_forecasts.mean IS 'Expected bytes (millionths of a MB), right for sums';
COMMENT ON COLUMN predictions.aggregate_forecasts.q025 IS '2.5 percent quantile, same unit';
COMMENT ON COLUMN predictions.aggregate_forecasts.q10 IS '10 percent quantile, same unit';
COMMENT ON COLUMN predictions.aggregate_forecasts.q50 IS 'Median, same unit';
COMMENT ON COLUMN predictions.aggregate_forecasts.q90 IS '90 percent quantile, same unit';
COMMENT ON COLUMN predictions.aggregate_forecasts.q975 IS '97.5 percent quantile, same unit';
COMMENT ON COLUMN predictions.aggregate_forecasts.created_at IS 'When it was computed (UTC)';
SELECT ops.guard('predictions.aggregate_forecasts');

CREATE VIEW predictions.aggregate_forecasts_v1 WITH (security_invoker = true) AS
SELECT organization_id, as_of, kind, name, day, method, sims, mean, q025, q10, q50, q90, q975, created_at
FROM predictions.aggregate_forecasts;
COMMENT ON VIEW predictions.aggregate_forecasts_v1 IS 'One row an as-of day, group of SIMs (fleet, label, country) and day ahead: forecast of the group''s total use, in bytes (millionths of a MB)';
GRANT SELECT ON predictions.aggregate_forecasts_v1 TO simsight_pipeline, simsight_api;
