-- Days from %(first)s to %(last)s: SIMs with traffic, relative to the median of these days.
WITH days AS (
    SELECT d.day::date AS day, (SELECT count(*) FROM core.sim_usage AS u WHERE u.day = d.day::date AND u.bytes > 0) AS sims
    FROM generate_series(%(first)s::date, %(last)s::date, interval '1 day') AS d (day)
), middle AS (
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY sims) AS sims FROM days WHERE sims > 0
)
SELECT d.day, d.sims, d.sims / m.sims AS share_of_median FROM days AS d, middle AS m
WHERE m.sims > 0 AND d.day >= (SELECT min(day) FROM core.sim_usage) ORDER BY d.day;
