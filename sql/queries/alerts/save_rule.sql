-- Write a rule; where one of that name exists, change it if %(replace)s, else return no row. One row: its key and version.
INSERT INTO predictions.alert_rules AS r
    (organization_id, name, metric, operator, threshold, for_days, scope, severity, enabled, created_by, created_at, changed_at)
VALUES ((SELECT ops.current_organization()), %(name)s, %(metric)s, %(operator)s, %(threshold)s, %(for_days)s, %(scope)s::jsonb, %(severity)s,
        %(enabled)s, %(by)s, %(now)s, %(now)s)
ON CONFLICT (organization_id, name) WHERE deleted_at IS NULL DO UPDATE SET
    metric = excluded.metric, operator = excluded.operator, threshold = excluded.threshold, for_days = excluded.for_days,
    scope = excluded.scope, severity = excluded.severity, enabled = excluded.enabled, changed_at = excluded.changed_at,
    version = r.version + 1, error = NULL, evaluated_as_of = NULL, holding = NULL
WHERE %(replace)s
RETURNING rule_id, version;
