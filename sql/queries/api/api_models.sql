-- One row a version that scores, and the newest challengers of each model, by model, the champion first. registered: the model's name in MLflow.
-- Parameters: challengers integer, at most so many a model. Index: backtests_pkey.
SELECT b.model_name, b.model_version, b.role, b.as_of, b.created_at AS trained_at, b.metrics, b.comparison, b.why,
       p.decided_at AS champion_since, p.decided_by, b.run_id AS mlflow_run,
       b.model_name || CASE o.slug WHEN 'default' THEN '' ELSE '-' || o.slug END AS registered
FROM (
    SELECT *, row_number() OVER (PARTITION BY model_name, role ORDER BY model_version DESC) AS place FROM predictions.backtests
    WHERE role IN ('champion', 'challenger')
) AS b
JOIN core.organizations AS o USING (organization_id)
LEFT JOIN LATERAL (
    SELECT x.decided_at, x.decided_by FROM predictions.promotions AS x
    WHERE x.model_name = b.model_name AND x.model_version = b.model_version ORDER BY x.promotion_id DESC LIMIT 1
) AS p ON true
WHERE b.place <= %(challengers)s::integer
ORDER BY b.model_name, b.role = 'champion' DESC, b.model_version DESC
