-- One row: usage rows and days covered up to %(as_of)s, the first and newest day, and the corrections that came in the
-- %(days)s days up to %(as_of)s and since. Indexes: daily_totals_pkey, sim_usage_by_day.
-- Of the SIMs with the keys %(sims)s; NULL: all, whose totals are kept.
WITH by_day AS (
    SELECT day, sims AS usage_rows FROM core.daily_totals WHERE %(sims)s::integer[] IS NULL AND day <= %(as_of)s
    UNION ALL
    SELECT day, count(*) AS usage_rows FROM core.sim_usage WHERE sim_key = ANY(%(sims)s::integer[]) AND day <= %(as_of)s GROUP BY day
)
SELECT coalesce(sum(usage_rows), 0)::bigint AS usage_rows, count(*) AS days, min(day) AS first_day, max(day) AS newest_day,
       (SELECT count(*) FROM core.sim_usage_replaced
        WHERE known_to >= (%(as_of)s::date - %(days)s::integer + 1)::timestamp AT TIME ZONE 'UTC'
            AND (%(sims)s::integer[] IS NULL OR sim_key = ANY(%(sims)s::integer[]))) AS corrections
FROM by_day;
