-- The one forecast of the fleet as of %(as_of)s, or as of the latest day (NULL), one row a day ahead: mean and quantiles of the day, and of the
-- sum up to it, in bytes (millionths of a MB). Primary key.
SELECT day, day - as_of AS days, as_of, mean, q025, q10, q50, q90, q975, sum_mean_bytes, sum_q10_bytes, sum_q90_bytes
FROM predictions.aggregate_forecasts
WHERE kind = 'fleet' AND name = 'fleet' AND as_of = CASE WHEN %(as_of)s::date IS NOT NULL THEN %(as_of)s::date
    ELSE (SELECT max(as_of) FROM predictions.aggregate_forecasts WHERE kind = 'fleet') END
ORDER BY day;
