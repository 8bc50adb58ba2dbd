-- One row an activated SIM and day of %(first)s to %(last)s: MB used on it; 0 without a record, since the day is complete. sim_usage_by_day, sim_usage_key.
SELECT s.sim_key, d.day::date AS day, coalesce(u.bytes, 0) / 1e6::double precision AS value
FROM core.sims AS s
CROSS JOIN generate_series(%(first)s::date, %(last)s::date, interval '1 day') AS d (day)
LEFT JOIN (
    SELECT sim_key, day, bytes FROM core.sim_usage WHERE day BETWEEN %(first)s::date AND %(last)s::date
) AS u ON u.sim_key = s.sim_key AND u.day = d.day::date
WHERE (s.activated_at AT TIME ZONE 'UTC')::date <= d.day AND d.day <= (SELECT max(usage_day) FROM core.sim_newest)
