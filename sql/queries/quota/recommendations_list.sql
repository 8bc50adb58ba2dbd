-- Recommendations as of %(as_of)s (date), or of the latest day where that is NULL, the highest saving first; without "nothing" unless that
-- is asked for. decision: accepted, dismissed, open or NULL for any. %(rows)s at most.
SELECT recommendation_id, iccid, label, as_of, action, month, packs, spend_minor, saving_minor, outage_p, probability, currency, valid_until,
       coalesce(decision, 'open') AS decision, reason
FROM predictions.quota_recommendations_v1
WHERE as_of = CASE WHEN %(as_of)s::date IS NOT NULL THEN %(as_of)s::date ELSE (SELECT max(as_of) FROM predictions.quota_recommendations) END
  AND CASE WHEN %(action)s::text IS NULL THEN action <> 'nothing' ELSE action = %(action)s::text END
  AND (%(decision)s::text IS NULL OR coalesce(decision, 'open') = %(decision)s::text)
ORDER BY saving_minor DESC, recommendation_id
LIMIT %(rows)s;
