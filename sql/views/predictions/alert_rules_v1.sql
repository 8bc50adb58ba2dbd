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
COMMENT ON COLUMN predictions.alert_rules_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN predictions.alert_rules_v1.rule_id IS 'Number of the rule';
COMMENT ON COLUMN predictions.alert_rules_v1.name IS 'Name, unique among the rules that are not deleted';
COMMENT ON COLUMN predictions.alert_rules_v1.metric IS 'What is measured: one of those of docs/alerts.md';
COMMENT ON COLUMN predictions.alert_rules_v1.operator IS 'How the value is held against the threshold: >, >=, < or <=';
COMMENT ON COLUMN predictions.alert_rules_v1.threshold IS 'What it is held against, in the unit of the metric';
COMMENT ON COLUMN predictions.alert_rules_v1.for_days IS 'As-of days in a row on which it must hold before the alert is opened';
COMMENT ON COLUMN predictions.alert_rules_v1.scope IS
    'Whom it is about: {} the organization, {"label_prefix": "pump-"}, or {"iccids": ["..."]}';
COMMENT ON COLUMN predictions.alert_rules_v1.severity IS 'Severity of its alerts: info, warning or critical';
COMMENT ON COLUMN predictions.alert_rules_v1.enabled IS 'Whether it is evaluated';
COMMENT ON COLUMN predictions.alert_rules_v1.version IS 'Rises by one with every change of what it says';
COMMENT ON COLUMN predictions.alert_rules_v1.created_by IS 'Who wrote it: a user of the command line, or an API key by its name';
COMMENT ON COLUMN predictions.alert_rules_v1.created_at IS 'When it was first written (UTC)';
COMMENT ON COLUMN predictions.alert_rules_v1.changed_at IS 'When it was last written, switched on or off (UTC)';
COMMENT ON COLUMN predictions.alert_rules_v1.evaluated_as_of IS 'Last as-of day it was evaluated for; NULL: never';
COMMENT ON COLUMN predictions.alert_rules_v1.evaluated_at IS 'When it was last evaluated, or tried to be (UTC)';
COMMENT ON COLUMN predictions.alert_rules_v1.holding IS 'SIMs for which it held then (1 for a metric of the fleet)';
COMMENT ON COLUMN predictions.alert_rules_v1.error IS 'Why the last evaluation came to nothing; NULL: it did not';

GRANT SELECT ON predictions.alert_rules_v1 TO simsight_pipeline, simsight_api;
