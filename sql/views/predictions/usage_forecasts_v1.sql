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

GRANT SELECT ON predictions.usage_forecasts_v1 TO simsight_pipeline, simsight_api;
