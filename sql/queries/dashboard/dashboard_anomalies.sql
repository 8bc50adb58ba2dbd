-- The newest anomalies of a SIM, one row a day and kind. Parameters: iccid text, rows integer. Indexes: sims_organization_id_iccid_key, anomalies_pkey.
SELECT day, kind, severity, reasons, incident_id FROM predictions.anomalies_v1 WHERE iccid = %(iccid)s::text ORDER BY day DESC, kind LIMIT %(rows)s
