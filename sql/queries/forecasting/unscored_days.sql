-- Closed usage days from %(first)s to %(last)s, one row a day, whose forecasts are to be held against what happened: not yet scored, or usage of
-- the day came or was corrected since. Indexes: primary key, sim_usage_by_day.
SELECT d.day::date AS day
FROM generate_series(%(first)s::date, %(last)s::date, interval '1 day') AS d (day)
CROSS JOIN LATERAL (SELECT max(known_at) AS known_at FROM own.sim_usage AS u WHERE u.day = d.day::date) AS used
CROSS JOIN LATERAL (
    SELECT min(scored_at) AS scored_at FROM predictions.forecast_scores AS s WHERE s.model_name = %(model_name)s AND s.day = d.day::date
) AS scored
WHERE used.known_at IS NOT NULL AND (scored.scored_at IS NULL OR used.known_at > scored.scored_at)
ORDER BY 1;
