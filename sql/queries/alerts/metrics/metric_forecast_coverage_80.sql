-- One row a closed day of %(first)s to %(last)s, for the fleet: share of usages within the 80 percent interval of the next week's forecasts of the
-- newest version. forecast_scores primary key.
SELECT DISTINCT ON (day) NULL::integer AS sim_key, day, coverage_80 AS value
FROM predictions.forecast_scores
WHERE day BETWEEN %(first)s::date AND %(last)s::date AND horizon = '1-7' AND model_name = 'usage-forecaster'
ORDER BY day, model_version DESC
