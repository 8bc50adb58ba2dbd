-- One row an anomaly after a given anomaly_id, oldest first.
-- Parameters: after bigint (0 for the first page); kind, severity, iccid text, day date, incident bigint, or NULL for any; rows integer.
-- Index: the unique one of anomaly_id.
SELECT anomaly_id, iccid, label, day, kind, score, severity, reasons, value, expected, unit, first_day, incident_id, model_version, as_of,
       detected_at, live
FROM predictions.anomalies_v1
WHERE anomaly_id > %(after)s::bigint
  AND (%(kind)s::text IS NULL OR kind = %(kind)s::text)
  AND (%(severity)s::text IS NULL OR severity = %(severity)s::text)
  AND (%(iccid)s::text IS NULL OR iccid = %(iccid)s::text)
  AND (%(day)s::date IS NULL OR day = %(day)s::date)
  AND (%(incident)s::bigint IS NULL OR incident_id = %(incident)s::bigint)
ORDER BY anomaly_id
LIMIT %(rows)s
