-- One row a day, the last %(days)s up to %(as_of)s: bytes (millionths of a MB) of the fleet. A day without a row counts zero.
-- Of the SIMs with the keys %(sims)s; NULL: all, whose totals are kept.
-- Indexes: daily_totals_pkey, sim_usage_by_day.
SELECT d.day::date AS day, coalesce(u.bytes, 0)::bigint AS bytes
FROM generate_series(%(as_of)s::date - %(days)s::integer + 1, %(as_of)s::date, interval '1 day') AS d (day)
LEFT JOIN (
    SELECT day, bytes FROM core.daily_totals
    WHERE %(sims)s::integer[] IS NULL AND day > %(as_of)s::date - %(days)s::integer AND day <= %(as_of)s
    UNION ALL
    SELECT day, sum(bytes) AS bytes FROM core.sim_usage
    WHERE sim_key = ANY(%(sims)s::integer[]) AND day > %(as_of)s::date - %(days)s::integer AND day <= %(as_of)s
    GROUP BY day
) AS u ON u.day = d.day::date
ORDER BY d.day;
