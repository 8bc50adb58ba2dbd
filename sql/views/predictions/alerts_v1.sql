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

GRANT SELECT ON predictions.alerts_v1 TO simsight_pipeline, simsight_api;
