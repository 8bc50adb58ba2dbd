CREATE OR REPLACE VIEW predictions.anomalies_v1 WITH (security_invoker = true) AS
SELECT
    a.organization_id,
    a.anomaly_id,
    s.iccid,
    coalesce(s.own_label, s.label) AS label,
    a.day,
    a.kind,
    a.score,
    a.severity,
    a.reasons,
    a.value,
    a.expected,
    a.unit,
    a.first_day,
    a.incident_id,
    a.model_version,
    a.as_of,
    a.detected_at,
    a.live
FROM predictions.anomalies AS a
JOIN core.sims AS s USING (sim_key);

COMMENT ON VIEW predictions.anomalies_v1 IS
    'One row a SIM, UTC day and kind of anomaly, with the reason in a sentence. value and expected are in the unit; '
    'bytes are millionths of a MB';

GRANT SELECT ON predictions.anomalies_v1 TO simsight_pipeline, simsight_api;
