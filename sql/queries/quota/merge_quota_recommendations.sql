-- Recommendations of an as-of day, one row a SIM. The same values by the same model version keep their row; one that a person decided on
-- stays as it is.
-- staged: sim_key integer, as_of date, scoring_id integer, action text, month smallint, packs smallint, cost_minor bigint, spend_minor bigint, saving_minor bigint, saving_p10_minor bigint, saving_p90_minor bigint, outage_days double precision, outage_p double precision, probability double precision, currency text, reason text, valid_until date, rule_action text, rule_saving_minor bigint
-- lock: quota_recommendations
WITH compared AS (
    SELECT s.*, t.sim_key IS NULL AS is_new,
           t.sim_key IS NOT NULL
               AND NOT EXISTS (SELECT FROM predictions.recommendation_decisions AS d WHERE d.recommendation_id = t.recommendation_id)
               AND (n.model_name, n.model_version, s.action, s.month, s.packs, s.cost_minor, s.spend_minor, s.saving_minor, s.saving_p10_minor, s.saving_p90_minor, s.outage_days, s.outage_p, s.probability, s.currency, s.reason, s.valid_until, s.rule_action, s.rule_saving_minor)
               IS DISTINCT FROM (o.model_name, o.model_version, t.action, t.month, t.packs, t.cost_minor, t.spend_minor, t.saving_minor, t.saving_p10_minor, t.saving_p90_minor, t.outage_days, t.outage_p, t.probability, t.currency, t.reason, t.valid_until, t.rule_action, t.rule_saving_minor) AS is_changed
    FROM staged AS s
    LEFT JOIN predictions.quota_recommendations AS t ON t.sim_key = s.sim_key AND t.as_of = s.as_of
    LEFT JOIN predictions.scorings AS n ON n.scoring_id = s.scoring_id
    LEFT JOIN predictions.scorings AS o ON o.scoring_id = t.scoring_id
), written AS (
    INSERT INTO predictions.quota_recommendations (organization_id, sim_key, as_of, scoring_id, action, month, packs, cost_minor, spend_minor, saving_minor, saving_p10_minor, saving_p90_minor, outage_days, outage_p, probability, currency, reason, valid_until, rule_action, rule_saving_minor)
    SELECT (SELECT ops.current_organization()), sim_key, as_of, scoring_id, action, month, packs, cost_minor, spend_minor, saving_minor, saving_p10_minor, saving_p90_minor, outage_days, outage_p, probability, currency, reason, valid_until, rule_action, rule_saving_minor
    FROM compared WHERE is_new OR is_changed
    ON CONFLICT (sim_key, as_of) DO UPDATE SET
        scoring_id = excluded.scoring_id,
        action = excluded.action,
        month = excluded.month,
        packs = excluded.packs,
        cost_minor = excluded.cost_minor,
        spend_minor = excluded.spend_minor,
        saving_minor = excluded.saving_minor,
        saving_p10_minor = excluded.saving_p10_minor,
        saving_p90_minor = excluded.saving_p90_minor,
        outage_days = excluded.outage_days,
        outage_p = excluded.outage_p,
        probability = excluded.probability,
        currency = excluded.currency,
        reason = excluded.reason,
        valid_until = excluded.valid_until,
        rule_action = excluded.rule_action,
        rule_saving_minor = excluded.rule_saving_minor
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
