-- One row a SIM of a list, as api_churn_risk for its latest as-of day. sim: its ICCID.
-- Parameters: iccids text[]. Indexes: sims_organization_id_iccid_key, churn_risks_pkey.
SELECT v.iccid, v.label, v.as_of, v.p_30, v.p_60, v.p_90, v.p_180, v.p_dead_device, v.p_switched_off, v.p_swapped, v.p_exhausted,
       v.p_expired, v.any_end, v.risk_level, v.cause, v.reasons, v.contributions, v.action, v.held_out, v.value_minor, v.currency, v.worth, v.decision,
       v.decision_reason, v.decided_by, v.decided_at, v.model_name, v.model_version, v.learnt_from, v.run_id, v.created_at, s.iccid AS sim
FROM core.sims AS s
CROSS JOIN LATERAL (SELECT max(x.as_of) AS as_of FROM predictions.churn_risks AS x WHERE x.sim_key = s.sim_key) AS l
JOIN predictions.churn_risks_v1 AS v ON v.iccid = s.iccid AND v.as_of = l.as_of
WHERE s.iccid = ANY (%(iccids)s::text[])
