-- One row a SIM and as-of day of %(first)s to %(last)s: MB expected in the 30 days after it, by the forecast of the day. usage_forecasts_by_as_of.
SELECT sim_key, as_of AS day, sum(mean) / 1e6::double precision AS value
FROM predictions.usage_forecasts
WHERE as_of BETWEEN %(first)s::date AND %(last)s::date AND day <= as_of + 30
GROUP BY sim_key, as_of
