-- What is recommended for a SIM's quota as of one day. Parameters: iccid text, as_of date or NULL for the SIM's latest.
-- mlflow_run: the MLflow run that trained the model.
-- Indexes: sims_organization_id_iccid_key, quota_recommendations_pkey. CASE and not coalesce: row-level security would keep coalesce out.
SELECT recommendation_id, iccid, label, as_of, action, month, packs, cost_minor, spend_minor, saving_minor, saving_p10_minor,
       saving_p90_minor, outage_days, outage_p, probability, currency, reason, valid_until, rule_action, rule_saving_minor, decision,
       decision_reason, decided_by, decided_at, model_name, model_version, run_id, created_at,
       (SELECT b.run_id FROM predictions.backtests AS b WHERE b.model_name = v.model_name AND b.model_version = v.model_version) AS mlflow_run
FROM predictions.quota_recommendations_v1 AS v
WHERE iccid = %(iccid)s::text
  AND as_of = CASE WHEN %(as_of)s::date IS NOT NULL THEN %(as_of)s::date ELSE (
      SELECT max(q.as_of) FROM predictions.quota_recommendations AS q
      WHERE q.sim_key = (SELECT s.sim_key FROM core.sims AS s WHERE s.iccid = %(iccid)s::text)) END
