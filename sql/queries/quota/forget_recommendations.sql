-- Deletes recommendations that nobody decided on and that are of no more use: "nothing" as of days before %(idle_before)s, others as of
-- days before %(before)s.
DELETE FROM predictions.quota_recommendations AS q
WHERE q.as_of < CASE WHEN q.action = 'nothing' THEN %(idle_before)s::date ELSE %(before)s::date END
  AND NOT EXISTS (SELECT FROM predictions.recommendation_decisions AS d WHERE d.recommendation_id = q.recommendation_id);
