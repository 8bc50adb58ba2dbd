-- LEFT JOIN: an alert about the fleet or an incident has no SIM, and only an alert of a customer's rule has a rule.
CREATE OR REPLACE VIEW predictions.alerts_v1 WITH (security_invoker = true) AS
SELECT
    a.organization_id,
    a.alert_id,
    s.iccid,
    coalesce(s.own_label, s.label) AS label,
    a.kind,
    a.severity,
    a.value,
    a.threshold,
    a.message,
    a.opened_as_of,
    a.opened_at,
    a.seen_as_of,
    a.closed_as_of,
    a.closed_at,
    r.model_name,
    r.model_version,
    r.run_id,
    a.state,
    a.rule_id,
    u.name AS rule,
    a.incident_id,
    a.snoozed_until,
    a.acted_by,
    a.acted_at,
    a.note
FROM predictions.alerts AS a
LEFT JOIN core.sims AS s USING (sim_key)
LEFT JOIN predictions.scorings AS r USING (scoring_id)
LEFT JOIN predictions.alert_rules AS u USING (rule_id);

COMMENT ON VIEW predictions.alerts_v1 IS
    'One row an alert; open while closed_at is NULL. Without an ICCID it is about the fleet or an incident';
COMMENT ON COLUMN predictions.alerts_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN predictions.alerts_v1.alert_id IS 'Number of the alert, rising with time';
COMMENT ON COLUMN predictions.alerts_v1.iccid IS 'ICCID of the SIM; NULL: the alert is about the fleet or an incident';
COMMENT ON COLUMN predictions.alerts_v1.label IS 'Name of the SIM: the customer''s own or else 1NCE''s; NULL: it has none';
COMMENT ON COLUMN predictions.alerts_v1.kind IS
    'exhaustion: will run out soon; quota_80: much of the quota is used (value: the share); silent: not heard of for unusually long; anomaly: unlike itself or its peers, for a cause of its own; rule: a rule of the customer; incident: many SIMs, one cause';
COMMENT ON COLUMN predictions.alerts_v1.severity IS 'info, warning or critical';
COMMENT ON COLUMN predictions.alerts_v1.value IS
    'What was measured last: probability, share used, days silent, or the metric of the rule in its unit';
COMMENT ON COLUMN predictions.alerts_v1.threshold IS 'What it was held against, same unit';
COMMENT ON COLUMN predictions.alerts_v1.message IS 'The alert in a sentence, with numbers';
COMMENT ON COLUMN predictions.alerts_v1.opened_as_of IS 'As-of day that opened it';
COMMENT ON COLUMN predictions.alerts_v1.opened_at IS 'When it was opened (UTC)';
COMMENT ON COLUMN predictions.alerts_v1.seen_as_of IS 'Last as-of day on which it held';
COMMENT ON COLUMN predictions.alerts_v1.closed_as_of IS 'As-of day that ended it; NULL while open';
COMMENT ON COLUMN predictions.alerts_v1.closed_at IS 'When it was closed (UTC); NULL while open';
COMMENT ON COLUMN predictions.alerts_v1.model_name IS 'Registered model whose prediction it rests on; NULL: none';
COMMENT ON COLUMN predictions.alerts_v1.model_version IS 'Version of that model in the MLflow registry';
COMMENT ON COLUMN predictions.alerts_v1.run_id IS 'Pipeline run that made that prediction';
COMMENT ON COLUMN predictions.alerts_v1.state IS
    'open, acknowledged (somebody sees to it), snoozed (until snoozed_until) or resolved (closed)';
COMMENT ON COLUMN predictions.alerts_v1.rule_id IS 'Rule that opened it; NULL: none';
COMMENT ON COLUMN predictions.alerts_v1.rule IS 'Name of that rule';
COMMENT ON COLUMN predictions.alerts_v1.incident_id IS 'Incident it is about; NULL: none';
COMMENT ON COLUMN predictions.alerts_v1.snoozed_until IS 'Until when it is, or was last, snoozed (UTC)';
COMMENT ON COLUMN predictions.alerts_v1.acted_by IS
    'Who acknowledged, snoozed, reopened or resolved it; NULL: nobody. The pipeline closing it does not count, nor the same act again that brings neither note nor person';
COMMENT ON COLUMN predictions.alerts_v1.acted_at IS 'When (UTC); equal to closed_at where a person resolved it';
COMMENT ON COLUMN predictions.alerts_v1.note IS 'What was said with that';

GRANT SELECT ON predictions.alerts_v1 TO simsight_pipeline, simsight_api;
