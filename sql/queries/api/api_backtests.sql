-- One row a trained version, by model, the newest version first. registered: the model's name in MLflow.
-- Parameters: after_model text and after_version integer of the last row seen ('' and 0 for the first page); model, role text or NULL for any;
-- rows integer. Index: backtests_pkey.
SELECT b.model_name, b.model_version, b.role, b.as_of, b.created_at AS trained_at, b.metrics, b.comparison, b.why,
       p.decided_at AS champion_since, p.decided_by, b.run_id AS mlflow_run,
       b.model_name || CASE o.slug WHEN 'default' THEN '' ELSE '-' || o.slug END AS registered
FROM predictions.backtests AS b
JOIN core.organizations AS o USING (organization_id)
LEFT JOIN LATERAL (
    SELECT x.decided_at, x.decided_by FROM predictions.promotions AS x
    WHERE x.model_name = b.model_name AND x.model_version = b.model_version ORDER BY x.promotion_id DESC LIMIT 1
) AS p ON true
WHERE (b.model_name > %(after_model)s::text OR (b.model_name = %(after_model)s::text AND b.model_version < %(after_version)s::integer))
  AND (%(model)s::text IS NULL OR b.model_name = %(model)s::text)
  AND (%(role)s::text IS NULL OR b.role = %(role)s::text)
ORDER BY b.model_name, b.model_version DESC
LIMIT %(rows)s
