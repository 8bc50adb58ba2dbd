-- One row a SIM of a list that the anomaly detector looked at: whether it is anomalous now, as api_anomalies_now. sim: its ICCID.
-- Parameters: iccids text[]. Indexes: sims_organization_id_iccid_key, anomaly_state_pkey, anomalies_pkey.
SELECT t.as_of, 'anomaly-detector' AS model_name, t.model_version, a.kinds IS NOT NULL AS is_anomaly, coalesce(a.score, 0) AS score,
       CASE a.worst WHEN 3 THEN 'critical' WHEN 2 THEN 'warning' WHEN 1 THEN 'info' END AS severity,
       coalesce(a.kinds, '{}') AS kinds, s.iccid AS sim
FROM core.sims AS s
JOIN predictions.anomaly_state AS t USING (sim_key)
CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT x.kind) AS kinds, max(x.score) AS score,
           max(CASE x.severity WHEN 'critical' THEN 3 WHEN 'warning' THEN 2 ELSE 1 END) AS worst
    FROM predictions.anomalies AS x WHERE x.sim_key = s.sim_key AND x.day >= t.as_of
) AS a
WHERE s.iccid = ANY (%(iccids)s::text[])
