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
COMMENT ON COLUMN predictions.quota_recommendations_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN predictions.quota_recommendations_v1.recommendation_id IS 'Number of the recommendation';
COMMENT ON COLUMN predictions.quota_recommendations_v1.iccid IS 'ICCID of the SIM: 19 digits, without the check digit';
COMMENT ON COLUMN predictions.quota_recommendations_v1.label IS 'Name of the SIM: the customer''s own or else 1NCE''s; NULL: it has none';
COMMENT ON COLUMN predictions.quota_recommendations_v1.as_of IS 'Last complete UTC day that was known';
COMMENT ON COLUMN predictions.quota_recommendations_v1.action IS
    'nothing, top_up, auto_top_up_on, auto_top_up_off, lower_limit, extend, swap or retire';
COMMENT ON COLUMN predictions.quota_recommendations_v1.month IS 'In which of the next months (30 days each) it is done; NULL for nothing';
COMMENT ON COLUMN predictions.quota_recommendations_v1.packs IS 'Top-ups to buy; NULL for other actions';
COMMENT ON COLUMN predictions.quota_recommendations_v1.cost_minor IS
    'Expected cost over a year with the action done, outage days included, in minor units';
COMMENT ON COLUMN predictions.quota_recommendations_v1.spend_minor IS 'Money it is expected to take in three months, in minor units';
COMMENT ON COLUMN predictions.quota_recommendations_v1.saving_minor IS 'Expected saving against doing nothing over a year, in minor units';
COMMENT ON COLUMN predictions.quota_recommendations_v1.saving_p10_minor IS '10 % quantile of the saving';
COMMENT ON COLUMN predictions.quota_recommendations_v1.saving_p90_minor IS '90 % quantile of the saving';
COMMENT ON COLUMN predictions.quota_recommendations_v1.outage_days IS 'Outage days expected in three months with the action done';
COMMENT ON COLUMN predictions.quota_recommendations_v1.outage_p IS 'Probability of any outage in three months with the action done';
COMMENT ON COLUMN predictions.quota_recommendations_v1.probability IS 'Probability that the action saves anything';
COMMENT ON COLUMN predictions.quota_recommendations_v1.currency IS 'ISO 4217 code of the amounts';
COMMENT ON COLUMN predictions.quota_recommendations_v1.reason IS 'Why, in a sentence or two';
COMMENT ON COLUMN predictions.quota_recommendations_v1.valid_until IS 'Last day on which it should be done as it is';
COMMENT ON COLUMN predictions.quota_recommendations_v1.rule_action IS
    'What the plain rules say: upgrade, downgrade, keep, not_enough_history or no_quota';
COMMENT ON COLUMN predictions.quota_recommendations_v1.rule_saving_minor IS
    'What they say it saves a month, in minor units; negative where an upgrade costs';
COMMENT ON COLUMN predictions.quota_recommendations_v1.decision IS 'Newest decision of a person: accepted or dismissed; NULL: none yet';
COMMENT ON COLUMN predictions.quota_recommendations_v1.decision_reason IS 'Why, as that person said';
COMMENT ON COLUMN predictions.quota_recommendations_v1.decided_by IS 'Who decided';
COMMENT ON COLUMN predictions.quota_recommendations_v1.decided_at IS 'When (UTC)';
COMMENT ON COLUMN predictions.quota_recommendations_v1.model_name IS 'Registered model that it was made with';
COMMENT ON COLUMN predictions.quota_recommendations_v1.model_version IS 'Version of that model in the MLflow registry';
COMMENT ON COLUMN predictions.quota_recommendations_v1.run_id IS 'Pipeline run that made it';
COMMENT ON COLUMN predictions.quota_recommendations_v1.created_at IS 'When it was computed (UTC)';

GRANT SELECT ON predictions.quota_recommendations_v1 TO simsight_pipeline, simsight_api;
