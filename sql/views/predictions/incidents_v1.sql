CREATE OR REPLACE VIEW predictions.incidents_v1 WITH (security_invoker = true) AS
SELECT
    organization_id,
    incident_id,
    kind,
    title,
    scope,
    first_day,
    last_day,
    severity,
    sims,
    model_version,
    created_at,
    updated_at
FROM predictions.incidents;

COMMENT ON VIEW predictions.incidents_v1 IS
    'One row a cause that many SIMs share; its members are the rows of anomalies_v1 with its incident_id';
COMMENT ON COLUMN predictions.incidents_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN predictions.incidents_v1.incident_id IS 'Number of the incident, rising with time';
COMMENT ON COLUMN predictions.incidents_v1.kind IS 'Kind of its anomalies; fleet_event: they are of several kinds, or of the whole fleet';
COMMENT ON COLUMN predictions.incidents_v1.title IS 'What happened to whom, in a sentence with numbers';
COMMENT ON COLUMN predictions.incidents_v1.scope IS
    'What its SIMs have in common, by attribute: device_type, label_prefix, country, operator, batch; {} is the whole fleet';
COMMENT ON COLUMN predictions.incidents_v1.first_day IS 'UTC day of its first anomaly';
COMMENT ON COLUMN predictions.incidents_v1.last_day IS 'UTC day of its last anomaly so far';
COMMENT ON COLUMN predictions.incidents_v1.severity IS 'info, warning or critical: the worst of its days';
COMMENT ON COLUMN predictions.incidents_v1.sims IS 'SIMs with an anomaly that belongs to it';
COMMENT ON COLUMN predictions.incidents_v1.model_version IS 'Version of the model anomaly-detector that saw it last';
COMMENT ON COLUMN predictions.incidents_v1.created_at IS 'When it was first seen (UTC)';
COMMENT ON COLUMN predictions.incidents_v1.updated_at IS 'When it last changed (UTC)';

GRANT SELECT ON predictions.incidents_v1 TO simsight_pipeline, simsight_api;
