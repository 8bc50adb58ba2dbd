-- One row: the risk that a SIM leaves, as of one day, with the newest decision on it.
-- mlflow_run: the MLflow run that trained the model.
-- Parameters: iccid text, as_of date or NULL for the SIM's latest. Indexes: sims_organization_id_iccid_key, churn_risks_pkey.
-- CASE and not coalesce: row-level security would keep coalesce out of the index condition, as not known to be leakproof.
SELECT iccid, label, as_of, p_30, p_60, p_90, p_180, p_dead_device, p_switched_off, p_swapped, p_exhausted, p_expired, any_end,
       risk_level, cause, reasons, contributions, action, held_out, value_minor, currency, worth, decision, decision_reason, decided_by, decided_at,
       model_name, model_version, learnt_from, run_id, created_at,
       (SELECT b.run_id FROM predictions.backtests AS b WHERE b.model_name = v.model_name AND b.model_version = v.model_version) AS mlflow_run
FROM predictions.churn_risks_v1 AS v
WHERE iccid = %(iccid)s::text
  AND as_of = CASE WHEN %(as_of)s::date IS NOT NULL THEN %(as_of)s::date ELSE (
      SELECT max(c.as_of) FROM predictions.churn_risks AS c
      WHERE c.sim_key = (SELECT s.sim_key FROM core.sims AS s WHERE s.iccid = %(iccid)s::text)) END
