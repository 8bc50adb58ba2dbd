-- Recommendations to act as of %(as_of)s, the highest saving first, at most %(top)s; total: how many there are. Of the SIMs with the keys %(sims)s;
-- NULL: all.
SELECT q.recommendation_id, s.iccid, coalesce(s.own_label, s.label) AS label, q.action, q.month, q.spend_minor, q.saving_minor, q.currency,
       q.valid_until, coalesce(d.decision, 'open') AS decision, q.reason, count(*) OVER () AS total
FROM predictions.quota_recommendations AS q JOIN core.sims AS s USING (sim_key)
LEFT JOIN LATERAL (
    SELECT decision FROM predictions.recommendation_decisions AS d
    WHERE d.recommendation_id = q.recommendation_id ORDER BY d.decision_id DESC LIMIT 1
) AS d ON true
WHERE q.as_of = %(as_of)s AND q.action <> 'nothing' AND (%(sims)s::integer[] IS NULL OR q.sim_key = ANY(%(sims)s::integer[]))
ORDER BY q.saving_minor DESC, q.recommendation_id LIMIT %(top)s;
