-- The risks of the latest day: as_of, sims, high, medium, expected (ends within 90 days by the three learnt causes), starter (whether
-- the starter model says so). No row without any.
SELECT c.as_of, count(*) AS sims, count(*) FILTER (WHERE risk_level = 'high') AS high, count(*) FILTER (WHERE risk_level = 'medium') AS medium,
       sum(p_90) AS expected, bool_or(b.metrics ? 'starter') AS starter
FROM predictions.churn_risks AS c
JOIN predictions.scorings AS r USING (scoring_id)
LEFT JOIN predictions.backtests AS b USING (model_name, model_version)
WHERE c.as_of = (SELECT max(as_of) FROM predictions.churn_risks)
GROUP BY c.as_of;
