CREATE OR REPLACE VIEW predictions.forecast_scores_v1 WITH (security_invoker = true) AS
SELECT
    organization_id,
    day,
    horizon,
    model_name,
    model_version,
    sims,
    n,
    error,
    baseline_error,
    rmase,
    coverage_80,
    coverage_95,
    bias,
    above_median,
    scored_at
FROM predictions.forecast_scores;

COMMENT ON VIEW predictions.forecast_scores_v1 IS
    'One row a closed usage day, part of the horizon and model version: how its forecasts did';

GRANT SELECT ON predictions.forecast_scores_v1 TO simsight_pipeline, simsight_api;
