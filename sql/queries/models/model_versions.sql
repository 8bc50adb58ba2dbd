-- One row a trained version, newest first, with when it last became champion, who decided it and why, and which version last took its place and
-- why. Primary key.
SELECT b.model_version, b.role, b.run_id, b.as_of, b.created_at, b.metrics, b.why, b.comparison, p.decided_at AS champion_since, p.decided_by,
       p.why AS promoted_why, n.model_version AS successor, n.why AS successor_why
FROM predictions.backtests AS b
LEFT JOIN LATERAL (
    SELECT decided_at, decided_by, why FROM predictions.promotions AS p
    WHERE p.model_name = b.model_name AND p.model_version = b.model_version ORDER BY promotion_id DESC LIMIT 1
) AS p ON true
LEFT JOIN LATERAL (
    SELECT model_version, why FROM predictions.promotions AS n
    WHERE n.model_name = b.model_name AND n.from_version = b.model_version ORDER BY promotion_id DESC LIMIT 1
) AS n ON true
WHERE b.model_name = %(model_name)s
ORDER BY b.model_version DESC;
