CREATE OR REPLACE VIEW predictions.quota_recommendations_v1 WITH (security_invoker = true) AS
SELECT
    q.organization_id,
    q.recommendation_id,
    s.iccid,
    coalesce(s.own_label, s.label) AS label,
    q.as_of,
    q.action,
    q.month,
    q.packs,
    q.cost_minor,
    q.spend_minor,
    q.saving_minor,
    q.saving_p10_minor,
    q.saving_p90_minor,
    q.outage_days,
    q.outage_p,
    q.probability,
    q.currency,
    q.reason,
    q.valid_until,
    q.rule_action,
    q.rule_saving_minor,
    d.decision,
    d.reason AS decision_reason,
    d.decided_by,
    d.decided_at,
    r.model_name,
    r.model_version,
    r.run_id,
    r.created_at
FROM predictions.quota_recommendations AS q
JOIN core.sims AS s USING (sim_key)
JOIN predictions.scorings AS r USING (scoring_id)
LEFT JOIN LATERAL (
    SELECT decision, reason, decided_by, decided_at FROM predictions.recommendation_decisions AS d
    WHERE d.recommendation_id = q.recommendation_id ORDER BY d.decision_id DESC LIMIT 1
) AS d ON true;

COMMENT ON VIEW predictions.quota_recommendations_v1 IS
    'One row a SIM and as-of day: the action on its quota with the least expected cost, what the plain rules say, and '
    'the newest decision of a person (decision NULL: open). Amounts are minor units of currency';

GRANT SELECT ON predictions.quota_recommendations_v1 TO simsight_pipeline, simsight_api;
