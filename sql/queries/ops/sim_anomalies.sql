-- One row an anomaly of a SIM, newest first.
SELECT anomaly_id, day, kind, severity, reasons FROM predictions.anomalies_v1
WHERE iccid = %(iccid)s ORDER BY day DESC, anomaly_id DESC LIMIT %(rows)s
