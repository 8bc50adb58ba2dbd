-- What is not to be recommended again as of %(as_of)s: one row a SIM and action, with the highest saving that was decided on. Dismissed at
-- an as-of day of the last %(days)s days: not unless the saving doubles (is_dismissed); accepted of the last %(rest)s days: not at all, it takes time to be seen.
SELECT q.sim_key, q.action, d.decision = 'dismissed' AS is_dismissed, max(q.saving_minor) AS saving_minor
FROM predictions.quota_recommendations AS q
JOIN LATERAL (
    SELECT decision FROM predictions.recommendation_decisions
    WHERE recommendation_id = q.recommendation_id ORDER BY decision_id DESC LIMIT 1
) AS d ON true
WHERE q.as_of < %(as_of)s::date
  AND q.as_of >= %(as_of)s::date - CASE d.decision WHEN 'dismissed' THEN %(days)s::integer ELSE %(rest)s::integer END
GROUP BY q.sim_key, q.action, d.decision
ORDER BY q.sim_key, q.action;
