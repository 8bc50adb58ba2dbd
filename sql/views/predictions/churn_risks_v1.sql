CREATE OR REPLACE VIEW predictions.churn_risks_v1 WITH (security_invoker = true) AS
SELECT
    c.organization_id,
    s.iccid,
    coalesce(s.own_label, s.label) AS label,
    c.as_of,
    c.p_30,
    c.p_60,
    c.p_90,
    c.p_180,
    c.p_dead_device,
    c.p_switched_off,
    c.p_swapped,
    c.p_exhausted,
    c.p_expired,
    c.any_end,
    c.risk_level,
    c.cause,
    c.reasons,
    c.action,
    c.value_minor,
    c.currency,
    c.worth,
    c.held_out,
    d.decision,
    d.reason AS decision_reason,
    d.decided_by,
    d.decided_at,
    r.model_name,
    r.model_version,
    r.run_id,
    r.created_at,
    c.contributions,
    CASE WHEN (
        SELECT b.metrics ? 'starter' FROM predictions.backtests AS b
        WHERE b.model_name = r.model_name AND b.model_version = r.model_version
    ) THEN 'simulated fleets' ELSE 'the fleet' END AS learnt_from
FROM predictions.churn_risks AS c
JOIN core.sims AS s USING (sim_key)
JOIN predictions.scorings AS r USING (scoring_id)
LEFT JOIN LATERAL (
    SELECT decision, reason, decided_by, decided_at FROM predictions.churn_decisions AS d
    WHERE d.sim_key = c.sim_key ORDER BY d.decision_id DESC LIMIT 1
) AS d ON true;

COMMENT ON VIEW predictions.churn_risks_v1 IS
    'One row a SIM in service and as-of day: the risk that it leaves within 30 to 180 days, at 90 days by cause, why (in '
    'words, and which features move the log odds of its likeliest cause most), what could be done about it, and the newest decision of a person. value_minor in minor units of the currency';
COMMENT ON COLUMN predictions.churn_risks_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN predictions.churn_risks_v1.iccid IS 'ICCID of the SIM: 19 digits, without the check digit';
COMMENT ON COLUMN predictions.churn_risks_v1.label IS 'Name of the SIM: the customer''s own or else 1NCE''s; NULL: it has none';
COMMENT ON COLUMN predictions.churn_risks_v1.as_of IS 'Last complete UTC day that was known';
COMMENT ON COLUMN predictions.churn_risks_v1.p_30 IS 'Risk within 30 days after as_of and the lateness of usage';
COMMENT ON COLUMN predictions.churn_risks_v1.p_60 IS 'Within 60 days';
COMMENT ON COLUMN predictions.churn_risks_v1.p_90 IS 'Within 90 days: p_dead_device, p_switched_off and p_swapped together';
COMMENT ON COLUMN predictions.churn_risks_v1.p_180 IS 'Within 180 days';
COMMENT ON COLUMN predictions.churn_risks_v1.p_dead_device IS 'Of p_90, that its device falls silent for good';
COMMENT ON COLUMN predictions.churn_risks_v1.p_switched_off IS 'Of p_90, that it is disabled or leaves the SIM list';
COMMENT ON COLUMN predictions.churn_risks_v1.p_swapped IS 'Of p_90, that its device goes on with another SIM';
COMMENT ON COLUMN predictions.churn_risks_v1.p_exhausted IS 'That its data volume ends it first within 90 days, from its exhaustion dates';
COMMENT ON COLUMN predictions.churn_risks_v1.p_expired IS 'That its validity ends it first within 90 days';
COMMENT ON COLUMN predictions.churn_risks_v1.any_end IS 'Within 90 days, by any cause: p_90, p_exhausted and p_expired together';
COMMENT ON COLUMN predictions.churn_risks_v1.risk_level IS 'high, medium or low, by p_90 (SIMSIGHT_CHURN_HIGH, SIMSIGHT_CHURN_MEDIUM)';
COMMENT ON COLUMN predictions.churn_risks_v1.cause IS 'The likeliest cause of p_90: dead_device, switched_off or swapped';
COMMENT ON COLUMN predictions.churn_risks_v1.reasons IS 'What raises its risk most, in words';
COMMENT ON COLUMN predictions.churn_risks_v1.action IS 'Retention action of its level and cause';
COMMENT ON COLUMN predictions.churn_risks_v1.value_minor IS
    'Value at stake in minor units of the currency: what was invoiced for it; of a SIM without an order, the median of the others. NULL: no invoice is known';
COMMENT ON COLUMN predictions.churn_risks_v1.currency IS 'ISO 4217 code; NULL as value_minor';
COMMENT ON COLUMN predictions.churn_risks_v1.worth IS
    'By which actions are ranked: over the causes, p x value_minor x how much can be done about it';
COMMENT ON COLUMN predictions.churn_risks_v1.held_out IS
    'Drawn for the hold-out (SIMSIGHT_CHURN_HOLDOUT): nothing is to be done, so that the effect of actions can be measured';
COMMENT ON COLUMN predictions.churn_risks_v1.decision IS 'Newest decision of a person: accepted or dismissed; NULL: none yet';
COMMENT ON COLUMN predictions.churn_risks_v1.decision_reason IS 'Why, as that person said';
COMMENT ON COLUMN predictions.churn_risks_v1.decided_by IS 'Who decided';
COMMENT ON COLUMN predictions.churn_risks_v1.decided_at IS 'When (UTC)';
COMMENT ON COLUMN predictions.churn_risks_v1.model_name IS 'Registered model that it was made with';
COMMENT ON COLUMN predictions.churn_risks_v1.model_version IS 'Version of that model in the MLflow registry';
COMMENT ON COLUMN predictions.churn_risks_v1.run_id IS 'Pipeline run that made it';
COMMENT ON COLUMN predictions.churn_risks_v1.created_at IS 'When it was computed (UTC)';
COMMENT ON COLUMN predictions.churn_risks_v1.contributions IS
    'The features that move the log odds of its likeliest cause most, over the months of the next 90 days, the largest first: [{"feature", "value" (a number, a text, or null: not known), "log_odds" (above 0 raises the risk)}]; empty for a SIM that is silent already, and of days before this column';
COMMENT ON COLUMN predictions.churn_risks_v1.learnt_from IS
    'What the model learnt from: the fleet, or simulated fleets (synthetic data): the starter model, which only a simulated fleet has, until its own history is enough';

GRANT SELECT ON predictions.churn_risks_v1 TO simsight_pipeline, simsight_api;
