-- What is recommended for chosen SIMs as of the latest day and nobody decided on yet, one row each. Parameters: iccids text[] or NULL for all chosen
-- SIMs, most integer; those of dashboard_chosen_sims. Index: quota_recommendations_pkey.
SELECT q.recommendation_id AS id FROM (
{part}
) AS chosen
JOIN predictions.quota_recommendations AS q USING (sim_key)
WHERE q.as_of = (SELECT max(r.as_of) FROM predictions.quota_recommendations AS r) AND q.action <> 'nothing'
  AND (%(iccids)s::text[] IS NULL OR chosen.iccid = ANY (%(iccids)s::text[]))
  AND NOT EXISTS (SELECT FROM predictions.recommendation_decisions AS d WHERE d.recommendation_id = q.recommendation_id)
ORDER BY q.recommendation_id LIMIT %(most)s::integer
