CREATE OR REPLACE VIEW predictions.alert_rules_v1 WITH (security_invoker = true) AS
SELECT
    organization_id,
    rule_id,
    name,
    metric,
    operator,
    threshold,
    for_days,
    scope,
    severity,
    enabled,
    version,
    created_by,
    created_at,
    changed_at,
    evaluated_as_of,
    evaluated_at,
    holding,
    error
FROM predictions.alert_rules
WHERE deleted_at IS NULL;

COMMENT ON VIEW predictions.alert_rules_v1 IS 'One row a rule of the customer that is not deleted';

GRANT SELECT ON predictions.alert_rules_v1 TO simsight_pipeline, simsight_api;
