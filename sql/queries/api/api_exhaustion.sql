-- One row: when a SIM ends, as of one day; remaining in bytes (millionths of a MB).
-- mlflow_run: the MLflow run that trained the model.
-- Parameters: iccid text, as_of date or NULL for the SIM's latest. Indexes: sims_organization_id_iccid_key, exhaustions_pkey.
-- CASE and not coalesce: row-level security would keep coalesce out of the index condition, as not known to be leakproof.
SELECT model_name, model_version, run_id, as_of, created_at, data_age_hours, data_grade,
       iccid, label, status, cause, p_7, p_14, p_30, p10_date, p50_date, p90_date, remaining, expires_on,
       p_90, topup_date, topups_30, p_limit, limit_date, sms_remaining, sms_status, sms_p_7, sms_p_14, sms_p_30, sms_p_90,
       sms_p10_date, sms_p50_date, sms_p90_date,
       (SELECT b.run_id FROM predictions.backtests AS b WHERE b.model_name = v.model_name AND b.model_version = v.model_version) AS mlflow_run
FROM predictions.exhaustions_v1 AS v
WHERE iccid = %(iccid)s::text
  AND as_of = CASE WHEN %(as_of)s::date IS NOT NULL THEN %(as_of)s::date ELSE (
      SELECT max(e.as_of) FROM predictions.exhaustions AS e
      WHERE e.sim_key = (SELECT s.sim_key FROM core.sims AS s WHERE s.iccid = %(iccid)s::text)) END
