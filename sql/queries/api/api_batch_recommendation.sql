-- One row a SIM of a list, as api_recommendation for its latest as-of day. sim: its ICCID.
-- Parameters: iccids text[]. Indexes: sims_organization_id_iccid_key, quota_recommendations_pkey.
SELECT v.recommendation_id, v.iccid, v.label, v.as_of, v.action, v.month, v.packs, v.cost_minor, v.spend_minor, v.saving_minor,
       v.saving_p10_minor, v.saving_p90_minor, v.outage_days, v.outage_p, v.probability, v.currency, v.reason, v.valid_until,
       v.rule_action, v.rule_saving_minor, v.decision, v.decision_reason, v.decided_by, v.decided_at, v.model_name, v.model_version,
       v.run_id, v.created_at, s.iccid AS sim
FROM core.sims AS s
CROSS JOIN LATERAL (SELECT max(x.as_of) AS as_of FROM predictions.quota_recommendations AS x WHERE x.sim_key = s.sim_key) AS l
JOIN predictions.quota_recommendations_v1 AS v ON v.iccid = s.iccid AND v.as_of = l.as_of
WHERE s.iccid = ANY (%(iccids)s::text[])
