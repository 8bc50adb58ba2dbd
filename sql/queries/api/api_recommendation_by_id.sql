-- One recommendation. Parameter: recommendation_id bigint.
SELECT recommendation_id, iccid, label, as_of, action, month, packs, cost_minor, spend_minor, saving_minor, saving_p10_minor,
       saving_p90_minor, outage_days, outage_p, probability, currency, reason, valid_until, rule_action, rule_saving_minor, decision,
       decision_reason, decided_by, decided_at, model_name, model_version, run_id, created_at
FROM predictions.quota_recommendations_v1
WHERE recommendation_id = %(recommendation_id)s::bigint
