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
COMMENT ON COLUMN predictions.anomalies_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN predictions.anomalies_v1.anomaly_id IS 'Number of the anomaly, rising with time';
COMMENT ON COLUMN predictions.anomalies_v1.iccid IS 'ICCID of the SIM: 19 digits, without the check digit';
COMMENT ON COLUMN predictions.anomalies_v1.label IS 'Name of the SIM: the customer''s own or else 1NCE''s; NULL: it has none';
COMMENT ON COLUMN predictions.anomalies_v1.day IS 'UTC day on which it is anomalous';
COMMENT ON COLUMN predictions.anomalies_v1.kind IS
    'spike: far above its usual; runaway: keeps rising; drift: a lasting new level; silence: nothing for far longer than its usual gap; dead: silence that is not expected to end; new_pattern: an unusual mix; sms_flood; flapping: connects again and again; unusual_hours: active at hours (UTC) at which it never was; imei_change; unexpected_country; unexpected_operator';
COMMENT ON COLUMN predictions.anomalies_v1.score IS
    'How rare it is among clean SIM-days: minus the decimal logarithm of the share that are at least as anomalous; 3 is one in 1,000';
COMMENT ON COLUMN predictions.anomalies_v1.severity IS 'info, warning or critical, from size, cost at risk and persistence';
COMMENT ON COLUMN predictions.anomalies_v1.reasons IS 'Why, in a sentence with numbers';
COMMENT ON COLUMN predictions.anomalies_v1.value IS 'What was measured, in the unit';
COMMENT ON COLUMN predictions.anomalies_v1.expected IS 'What was usual for this SIM and weekday, in the unit';
COMMENT ON COLUMN predictions.anomalies_v1.unit IS
    'bytes (millionths of a MB), messages, sessions, hours (of the day) or days (of silence); NULL where nothing is measured';
COMMENT ON COLUMN predictions.anomalies_v1.first_day IS 'UTC day on which this anomaly began: the same as day when it is new';
COMMENT ON COLUMN predictions.anomalies_v1.incident_id IS 'Incident it belongs to; NULL: this SIM alone';
COMMENT ON COLUMN predictions.anomalies_v1.model_version IS 'Version of the model anomaly-detector';
COMMENT ON COLUMN predictions.anomalies_v1.as_of IS 'Last complete UTC day that was known; of a live one, the day its limits rest on';
COMMENT ON COLUMN predictions.anomalies_v1.detected_at IS 'When it was first found (UTC)';
COMMENT ON COLUMN predictions.anomalies_v1.live IS 'Found on a day that was still under way, not confirmed yet';

GRANT SELECT ON predictions.anomalies_v1 TO simsight_pipeline, simsight_api;
