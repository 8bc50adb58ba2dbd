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
    c.contributions
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

GRANT SELECT ON predictions.churn_risks_v1 TO simsight_pipeline, simsight_api;
