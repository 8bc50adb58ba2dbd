-- One row an activated SIM and day of %(first)s to %(last)s: MB used on it and the six days before. sim_usage_by_day, sim_usage_key.
SELECT sim_key, day, value FROM (
    SELECT s.sim_key, d.day::date AS day,
           sum(coalesce(u.bytes, 0)) OVER (PARTITION BY s.sim_key ORDER BY d.day ROWS 6 PRECEDING) / 1e6::double precision AS value
    FROM core.sims AS s
    CROSS JOIN generate_series(%(first)s::date - 6, %(last)s::date, interval '1 day') AS d (day)
    LEFT JOIN (
        SELECT sim_key, day, bytes FROM core.sim_usage WHERE day BETWEEN %(first)s::date - 6 AND %(last)s::date
    ) AS u ON u.sim_key = s.sim_key AND u.day = d.day::date
    WHERE (s.activated_at AT TIME ZONE 'UTC')::date <= d.day AND d.day <= (SELECT max(usage_day) FROM core.sim_newest)
) AS week WHERE day >= %(first)s::date
