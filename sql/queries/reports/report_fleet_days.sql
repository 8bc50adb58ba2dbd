-- One row a day, the last %(days)s up to %(as_of)s: bytes (millionths of a MB) of the fleet. A day without a row counts zero.
-- Of the SIMs with the keys %(sims)s; NULL: all.
-- Index: sim_usage_by_day.
SELECT d.day::date AS day, coalesce(u.bytes, 0)::bigint AS bytes
FROM generate_series(%(as_of)s::date - %(days)s::integer + 1, %(as_of)s::date, interval '1 day') AS d (day)
LEFT JOIN (
    SELECT day, sum(bytes) AS bytes FROM core.sim_usage
    WHERE day > %(as_of)s::date - %(days)s::integer AND day <= %(as_of)s AND (%(sims)s::integer[] IS NULL OR sim_key = ANY(%(sims)s::integer[]))
    GROUP BY day
) AS u ON u.day = d.day::date
ORDER BY d.day;
