-- One row a recommendation, the highest saving first. Parameters: as_of date or NULL for the latest; action, label text or NULL for any;
-- decision text: accepted, dismissed, open (nobody decided) or NULL for any; acting boolean: leave out "nothing"; the last row seen as
-- saving bigint and recommendation_id bigint (NULL and 0 for the first page); rows integer. Index: quota_recommendations_by_saving.
SELECT recommendation_id, iccid, label, as_of, action, month, packs, cost_minor, spend_minor, saving_minor, saving_p10_minor,
       saving_p90_minor, outage_days, outage_p, probability, currency, reason, valid_until, rule_action, rule_saving_minor, decision,
       decision_reason, decided_by, decided_at, model_name, model_version, run_id, created_at
FROM predictions.quota_recommendations_v1
WHERE as_of = CASE WHEN %(as_of)s::date IS NOT NULL THEN %(as_of)s::date ELSE (SELECT max(as_of) FROM predictions.quota_recommendations) END
  AND saving_minor <= CASE WHEN %(saving)s::bigint IS NULL THEN 9223372036854775807 ELSE %(saving)s::bigint END
  AND (%(saving)s::bigint IS NULL OR saving_minor < %(saving)s::bigint OR recommendation_id > %(recommendation_id)s::bigint)
  AND (%(action)s::text IS NULL OR action = %(action)s::text)
  AND (NOT %(acting)s::boolean OR action <> 'nothing')
  AND (%(decision)s::text IS NULL OR coalesce(decision, 'open') = %(decision)s::text)
  AND (%(label)s::text IS NULL OR label = %(label)s::text)
ORDER BY saving_minor DESC, recommendation_id
LIMIT %(rows)s
