-- One row a day ahead of a SIM's forecast as of one day; mean and quantiles in bytes (millionths of a MB).
-- Parameters: iccid text, as_of date or NULL for the SIM's latest. Indexes: sims_organization_id_iccid_key, usage_forecasts_pkey.
-- CASE and not coalesce: row-level security would keep coalesce out of the index condition, as not known to be leakproof.
SELECT model_name, model_version, run_id, as_of, created_at, data_age_hours, data_grade,
       day, mean, q025, q10, q50, q90, q975
FROM predictions.usage_forecasts_v1
WHERE iccid = %(iccid)s::text
  AND as_of = CASE WHEN %(as_of)s::date IS NOT NULL THEN %(as_of)s::date ELSE (
      SELECT n.forecast_as_of FROM core.sim_newest AS n WHERE n.iccid = %(iccid)s::text) END
ORDER BY day
