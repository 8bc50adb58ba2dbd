-- One row an anomaly of a SIM's last closed day or a day under way, the highest score first.
-- Parameters: iccid text. Indexes: sims_organization_id_iccid_key, anomalies_pkey.
SELECT anomaly_id, iccid, label, day, kind, score, severity, reasons, value, expected, unit, first_day, incident_id, model_version, as_of,
       detected_at, live
FROM predictions.anomalies_v1
WHERE iccid = %(iccid)s::text
  AND day >= (SELECT t.as_of FROM predictions.anomaly_state AS t
              WHERE t.sim_key = (SELECT s.sim_key FROM core.sims AS s WHERE s.iccid = %(iccid)s::text))
ORDER BY score DESC, anomaly_id
LIMIT 100
