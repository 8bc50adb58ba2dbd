-- One row a trained version, newest first, with when it last became champion and who decided it. Primary key.
SELECT b.model_version, b.role, b.run_id, b.as_of, b.created_at, b.metrics, b.why, b.comparison, p.decided_at AS champion_since, p.decided_by
FROM predictions.backtests AS b
LEFT JOIN LATERAL (
    SELECT decided_at, decided_by FROM predictions.promotions AS p
    WHERE p.model_name = b.model_name AND p.model_version = b.model_version ORDER BY promotion_id DESC LIMIT 1
) AS p ON true
WHERE b.model_name = %(model_name)s
ORDER BY b.model_version DESC;
