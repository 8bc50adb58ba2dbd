-- One row a scored UTC day, oldest first: how forecasts 1 to 7 days ahead did, over all versions that made them. ratio: their error to that of repeating
-- last week, on the same SIMs and days. Parameter: days integer, those that end with the last scored one. Index: forecast_scores_pkey.
SELECT day, max(model_version) AS model_version, sum(n)::bigint AS forecasts, max(sims) AS sims,
       sum(coverage_80 * n) / sum(n) FILTER (WHERE coverage_80 IS NOT NULL) AS coverage_80,
       sum(error * n) / nullif(sum(baseline_error * n), 0) AS ratio
FROM predictions.forecast_scores
WHERE horizon = '1-7' AND n > 0 AND day > (SELECT max(day) FROM predictions.forecast_scores) - %(days)s::integer
GROUP BY day
ORDER BY day
