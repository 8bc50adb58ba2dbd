-- One row an activated SIM and day of %(first)s to %(last)s: days since its last usage, looked for 120 days back (120: none there); not for disabled
-- SIMs, whose silence is explained. sim_usage_by_day.
WITH active AS (
    SELECT sim_key, day AS since, lead(day) OVER (PARTITION BY sim_key ORDER BY day) AS until
    FROM core.sim_usage
    WHERE bytes > 0 AND day BETWEEN %(first)s::date - 120 AND %(last)s::date
)
SELECT s.sim_key, d.day::date AS day,
       least(120, d.day::date - coalesce(a.since, greatest((s.activated_at AT TIME ZONE 'UTC')::date, d.day::date - 120)))::double precision AS value
FROM core.sims AS s
CROSS JOIN generate_series(%(first)s::date, %(last)s::date, interval '1 day') AS d (day)
LEFT JOIN active AS a ON a.sim_key = s.sim_key AND a.since <= d.day AND d.day < coalesce(a.until, 'infinity')
WHERE (s.activated_at AT TIME ZONE 'UTC')::date <= d.day AND s.status IS DISTINCT FROM 'Disabled'
    AND d.day <= (SELECT max(usage_day) FROM core.sim_newest)
