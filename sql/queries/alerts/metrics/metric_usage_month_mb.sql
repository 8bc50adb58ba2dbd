-- One row an activated SIM and day of %(first)s to %(last)s: MB used in its calendar month (UTC) up to it. sim_usage_by_day, sim_usage_key.
SELECT sim_key, day, value FROM (
    SELECT s.sim_key, d.day::date AS day,
           sum(coalesce(u.bytes, 0)) OVER (PARTITION BY s.sim_key, date_trunc('month', d.day) ORDER BY d.day)
               / 1e6::double precision AS value
    FROM core.sims AS s
    CROSS JOIN generate_series(date_trunc('month', %(first)s::date::timestamp), %(last)s::date::timestamp, interval '1 day') AS d (day)
    LEFT JOIN (
        SELECT sim_key, day, bytes FROM core.sim_usage
        WHERE day BETWEEN date_trunc('month', %(first)s::date::timestamp)::date AND %(last)s::date
    ) AS u ON u.sim_key = s.sim_key AND u.day = d.day::date
    WHERE (s.activated_at AT TIME ZONE 'UTC')::date <= d.day AND d.day <= (SELECT max(usage_day) FROM core.sim_newest)
) AS month WHERE day >= %(first)s::date
