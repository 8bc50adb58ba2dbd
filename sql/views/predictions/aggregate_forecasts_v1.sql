CREATE OR REPLACE VIEW predictions.aggregate_forecasts_v1 WITH (security_invoker = true) AS
SELECT
    organization_id,
    as_of,
    kind,
    name,
    day,
    method,
    sims,
    mean,
    q025,
    q10,
    q50,
    q90,
    q975,
    created_at,
    -- from the day after as_of to this day
    sum_mean_bytes,
    sum_q025_bytes,
    sum_q10_bytes,
    sum_q50_bytes,
    sum_q90_bytes,
    sum_q975_bytes
FROM predictions.aggregate_forecasts;

COMMENT ON VIEW predictions.aggregate_forecasts_v1 IS
    'One row an as-of day, group of SIMs (fleet, label, country) and day ahead: forecast of the group''s total use '
    'on the day, and of its sum from the day after as_of to the day, in bytes (millionths of a MB)';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.as_of IS 'Last complete UTC day that was known';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.kind IS 'fleet; label: SIMs whose label begins alike; country: SIMs last seen in it';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.name IS
    'The label''s beginning up to its first separator (- _ / : . or space), or the country; fleet for the fleet';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.day IS 'UTC day that is forecast';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.method IS
    'Which method made it, because it had missed least from earlier days: usage-forecaster, prophet or mean of both';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.sims IS 'SIMs of the group';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.mean IS 'Expected bytes (millionths of a MB) of the day';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.q025 IS '2.5 % quantile, same unit: the lower end of the 95 % interval';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.q10 IS '10 % quantile, same unit: the lower end of the 80 % interval';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.q50 IS 'Median, same unit';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.q90 IS '90 % quantile, same unit: the upper end of the 80 % interval';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.q975 IS '97.5 % quantile, same unit: the upper end of the 95 % interval';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.created_at IS 'When it was computed (UTC)';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.sum_mean_bytes IS
    'Expected bytes (millionths of a MB) from the day after as_of to this day; NULL where it was not computed';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.sum_q025_bytes IS '2.5 percent quantile of that sum, same unit';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.sum_q10_bytes IS '10 percent quantile of that sum, same unit';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.sum_q50_bytes IS 'Median of that sum, same unit';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.sum_q90_bytes IS '90 percent quantile of that sum, same unit';
COMMENT ON COLUMN predictions.aggregate_forecasts_v1.sum_q975_bytes IS '97.5 percent quantile of that sum, same unit';

GRANT SELECT ON predictions.aggregate_forecasts_v1 TO simsight_pipeline, simsight_api;
