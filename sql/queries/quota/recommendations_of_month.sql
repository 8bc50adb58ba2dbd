-- The recommendations of a month (%(month)s: its first day) that are held against what came: of every SIM its first (scope all) and its
-- first that is accepted (scope accepted). Index: primary key.
WITH of_month AS (
    SELECT q.sim_key, q.as_of, q.action, q.month, q.packs, q.saving_minor, d.decision
    FROM predictions.quota_recommendations AS q
    LEFT JOIN LATERAL (
        SELECT decision FROM predictions.recommendation_decisions
        WHERE recommendation_id = q.recommendation_id ORDER BY decision_id DESC LIMIT 1
    ) AS d ON true
    WHERE q.as_of >= %(month)s::date AND q.as_of < %(month)s::date + interval '1 month' AND q.action <> 'nothing'
)
(SELECT DISTINCT ON (sim_key) 'all' AS scope, sim_key, as_of, action, month, packs, saving_minor
 FROM of_month ORDER BY sim_key, as_of)
UNION ALL
(SELECT DISTINCT ON (sim_key) 'accepted' AS scope, sim_key, as_of, action, month, packs, saving_minor
 FROM of_month WHERE decision = 'accepted' ORDER BY sim_key, as_of);
