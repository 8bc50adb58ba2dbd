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

GRANT SELECT ON predictions.incidents_v1 TO simsight_pipeline, simsight_api;
