-- One row a day ahead of %(as_of)s: the fleet's expected bytes (millionths of a MB) and the standard deviation of their sum, each SIM's
-- from the distance of its 10 and 90 percent quantiles, as if SIMs were independent. Index usage_forecasts_by_as_of.
SELECT day, sum(mean)::double precision AS expected, sqrt(sum(((q90 - q10) / 2.563::double precision) ^ 2)) AS spread
FROM predictions.usage_forecasts WHERE as_of = %(as_of)s
GROUP BY day ORDER BY day;
