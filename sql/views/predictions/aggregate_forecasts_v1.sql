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

GRANT SELECT ON predictions.aggregate_forecasts_v1 TO simsight_pipeline, simsight_api;
