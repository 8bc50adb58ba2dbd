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
COMMENT ON COLUMN predictions.forecast_scores_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN predictions.forecast_scores_v1.day IS 'UTC day that was forecast and then happened';
COMMENT ON COLUMN predictions.forecast_scores_v1.horizon IS 'Days ahead: 1-7 (every one of them) or 8-30 (14, 21 and 28 days ahead)';
COMMENT ON COLUMN predictions.forecast_scores_v1.model_name IS 'Registered model that made the forecasts';
COMMENT ON COLUMN predictions.forecast_scores_v1.model_version IS 'Version that made them, fitted on nothing after their as-of days';
COMMENT ON COLUMN predictions.forecast_scores_v1.sims IS 'SIMs whose usage of the day is known';
COMMENT ON COLUMN predictions.forecast_scores_v1.n IS 'Forecasts held against it';
COMMENT ON COLUMN predictions.forecast_scores_v1.error IS
    'Mean absolute error of the median as a multiple of the SIM''s mean daily use of the 28 days before; SIMs without use left out';
COMMENT ON COLUMN predictions.forecast_scores_v1.baseline_error IS 'The same of seasonal naive: the last same weekday known on the as-of day';
COMMENT ON COLUMN predictions.forecast_scores_v1.rmase IS
    'error divided by baseline_error, both on the same SIMs and days; above 1, repeating last week was better';
COMMENT ON COLUMN predictions.forecast_scores_v1.coverage_80 IS 'Share of forecasts whose 80 % interval held the usage';
COMMENT ON COLUMN predictions.forecast_scores_v1.coverage_95 IS 'The same of the 95 % interval';
COMMENT ON COLUMN predictions.forecast_scores_v1.bias IS
    'Sum of the means over the sum of what was used, less 1: above 0 the forecasts were too high';
COMMENT ON COLUMN predictions.forecast_scores_v1.above_median IS
    'Share of usages above the median, of forecasts where either is not 0; about a half when all is well';
COMMENT ON COLUMN predictions.forecast_scores_v1.scored_at IS 'When it was computed (UTC)';

GRANT SELECT ON predictions.forecast_scores_v1 TO simsight_pipeline, simsight_api;
