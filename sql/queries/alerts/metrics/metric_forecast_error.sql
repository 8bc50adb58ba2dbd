-- One row a closed day of %(first)s to %(last)s, for the fleet: error of the next week's forecasts of the newest version, as a share of that of
-- repeating last week. forecast_scores primary key.
SELECT DISTINCT ON (day) NULL::integer AS sim_key, day, rmase AS value
FROM predictions.forecast_scores
WHERE day BETWEEN %(first)s::date AND %(last)s::date AND horizon = '1-7' AND model_name = 'usage-forecaster'
ORDER BY day, model_version DESC
