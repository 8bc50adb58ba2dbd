-- One row: the last closed day of a SIM that the anomaly detector looked at, and which version did; none before it first did.
-- Parameters: iccid text. Indexes: sims_organization_id_iccid_key, anomaly_state_pkey.
SELECT 'anomaly-detector' AS model_name, t.model_version, t.as_of, t.prepared_at AS created_at, s.iccid,
       (SELECT b.run_id FROM predictions.backtests AS b
        WHERE b.model_name = 'anomaly-detector' AND b.model_version = t.model_version) AS mlflow_run
FROM core.sims AS s
JOIN predictions.anomaly_state AS t USING (sim_key)
WHERE s.iccid = %(iccid)s::text
