-- Days from %(first)s to %(last)s: SIMs with traffic, relative to the median of these days.
WITH used AS (
    SELECT day, count(*) FILTER (WHERE bytes > 0) AS sims
    FROM own.sim_usage WHERE day BETWEEN %(first)s::date AND %(last)s::date GROUP BY day
), days AS (
    SELECT g.d::date AS day, coalesce(u.sims, 0) AS sims
    FROM generate_series(%(first)s::date, %(last)s::date, interval '1 day') AS g (d) LEFT JOIN used AS u ON u.day = g.d::date
), middle AS (
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY sims) AS sims FROM days WHERE sims > 0
)
SELECT d.day, d.sims, d.sims / m.sims AS share_of_median FROM days AS d, middle AS m
WHERE m.sims > 0 AND d.day >= (SELECT min(day) FROM own.sim_usage) ORDER BY d.day;
