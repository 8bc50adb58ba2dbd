-- One row a SIM and day of %(first)s to %(last)s: hours by which 1NCE's last answer about its usage lies before the end of the day, as the
-- scoring of the day wrote it down, or else by the last answer there is; 0 when it came later. exhaustions primary key, polls_pkey.
SELECT a.sim_key, d.day::date AS day,
       coalesce(e.data_age_hours,
                greatest(extract(epoch FROM (d.day + interval '1 day') AT TIME ZONE 'UTC' - a.answered_at) / 3600, 0))::double precision AS value
FROM ops.usage_answers() AS a
CROSS JOIN generate_series(%(first)s::date::timestamp, %(last)s::date::timestamp, interval '1 day') AS d (day)
LEFT JOIN predictions.exhaustions AS e ON e.sim_key = a.sim_key AND e.as_of = d.day::date
