CREATE OR REPLACE VIEW predictions.usage_forecasts_v1 WITH (security_invoker = true) AS
SELECT
    f.organization_id,
    s.iccid,
    f.as_of,
    f.day,
    f.mean,
    f.q025,
    f.q10,
    f.q50,
    f.q90,
    f.q975,
    r.model_name,
    r.model_version,
    r.run_id,
    r.created_at,
    f.data_age_hours,
    substr('ABCD', f.data_grade, 1) AS data_grade
FROM own.usage_forecasts AS f
JOIN core.sims AS s USING (sim_key)
JOIN predictions.scorings AS r USING (scoring_id);

COMMENT ON VIEW predictions.usage_forecasts_v1 IS
    'One row a SIM, as-of day and day ahead; mean and quantiles in bytes (millionths of a MB)';
COMMENT ON COLUMN predictions.usage_forecasts_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN predictions.usage_forecasts_v1.iccid IS 'ICCID of the SIM: 19 digits, without the check digit';
COMMENT ON COLUMN predictions.usage_forecasts_v1.as_of IS 'Last complete UTC day that was known';
COMMENT ON COLUMN predictions.usage_forecasts_v1.day IS 'UTC day that is forecast';
COMMENT ON COLUMN predictions.usage_forecasts_v1.mean IS
    'Expected bytes (millionths of a MB) of the day: means of days and SIMs may be added, quantiles may not';
COMMENT ON COLUMN predictions.usage_forecasts_v1.q025 IS '2.5 % quantile in bytes: the lower end of the 95 % interval';
COMMENT ON COLUMN predictions.usage_forecasts_v1.q10 IS '10 % quantile in bytes: the lower end of the 80 % interval';
COMMENT ON COLUMN predictions.usage_forecasts_v1.q50 IS 'Median in bytes';
COMMENT ON COLUMN predictions.usage_forecasts_v1.q90 IS '90 % quantile in bytes: the upper end of the 80 % interval';
COMMENT ON COLUMN predictions.usage_forecasts_v1.q975 IS '97.5 % quantile in bytes: the upper end of the 95 % interval';
COMMENT ON COLUMN predictions.usage_forecasts_v1.model_name IS 'Registered model that it was made with';
COMMENT ON COLUMN predictions.usage_forecasts_v1.model_version IS 'Version of that model in the MLflow registry';
COMMENT ON COLUMN predictions.usage_forecasts_v1.run_id IS 'Pipeline run that made it';
COMMENT ON COLUMN predictions.usage_forecasts_v1.created_at IS 'When it was computed (UTC)';
COMMENT ON COLUMN predictions.usage_forecasts_v1.data_age_hours IS
    'Hours by which the last usage answer lies before the end of as_of; 0 when it came after; NULL: never asked';
COMMENT ON COLUMN predictions.usage_forecasts_v1.data_grade IS
    'A: usage known to the end of as_of, quota seen no more than two days before it; B: usage known, quota older or none; C: one or two last days not known; D: more';

GRANT SELECT ON predictions.usage_forecasts_v1 TO simsight_pipeline, simsight_api;
