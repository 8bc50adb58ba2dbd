-- One row a day, the last %(days)s up to %(as_of)s: SIMs activated by then, and those of them with a usage row for the day.
-- Index: sim_usage_by_day. Of the SIMs with the keys %(sims)s; NULL: all.
WITH fleet AS (
    SELECT sim_key, (activated_at AT TIME ZONE 'UTC')::date AS since FROM core.sims
    WHERE (activated_at AT TIME ZONE 'UTC')::date <= %(as_of)s::date AND (%(sims)s::integer[] IS NULL OR sim_key = ANY(%(sims)s::integer[]))
), reported AS (
    SELECT u.day, count(*) AS sims FROM core.sim_usage AS u JOIN fleet AS f USING (sim_key)
    WHERE u.day > %(as_of)s::date - %(days)s::integer AND u.day <= %(as_of)s AND u.day >= f.since
    GROUP BY u.day
), joined AS (
    SELECT greatest(since, %(as_of)s::date - %(days)s::integer + 1) AS day, count(*) AS sims FROM fleet GROUP BY 1
)
SELECT d.day::date AS day, coalesce(r.sims, 0) AS reported, (sum(coalesce(j.sims, 0)) OVER (ORDER BY d.day))::bigint AS activated
FROM generate_series(%(as_of)s::date - %(days)s::integer + 1, %(as_of)s::date, interval '1 day') AS d (day)
LEFT JOIN reported AS r ON r.day = d.day::date
LEFT JOIN joined AS j ON j.day = d.day::date
ORDER BY d.day;
