-- What predictions as of %(as_of)s stand on, one row a SIM from %(first_key)s to %(last_key)s: hours by which the last usage answer, or the last day booked from stream or quota, lies before the end of the day, and a
-- grade from 1 (A) to 4 (D), see predictions.exhaustions. A row counts as knowing its day unless
-- it is the usage call's for a day under way; where only the sum of a stretch is known, as_of is C at best and at worst.
SELECT s.sim_key,
       least(greatest(ceil(extract(epoch FROM (%(as_of)s::date + 1)::timestamp AT TIME ZONE 'UTC' - greatest(p.answered_at, known.booked_at)) / 3600), 0), 32767)::smallint
           AS data_age_hours,
       CASE WHEN known.is_spread THEN 3
            WHEN known.known_to >= %(as_of)s::date AND q.sim_key IS NOT NULL THEN 1
            WHEN known.known_to >= %(as_of)s::date THEN 2
            WHEN known.known_to >= %(as_of)s::date - 2 THEN 3
            ELSE 4 END::smallint AS data_grade
FROM core.sims AS s
LEFT JOIN ops.polls AS p ON p.sim_key = s.sim_key AND p.source = 'usage'
LEFT JOIN LATERAL (
    SELECT greatest(p.covered_to, (
               SELECT max(u.day) FROM own.sim_usage AS u WHERE u.sim_key = s.sim_key
                   AND u.spread_from IS NULL
                   AND (u.source <> 'c' OR u.known_at >= (u.day + 1)::timestamp AT TIME ZONE 'UTC')
           )) AS known_to,
           (
               SELECT max(u.known_at) FROM own.sim_usage AS u
               WHERE u.sim_key = s.sim_key AND u.source IN ('s', 'q') AND u.day > %(as_of)s::date - 60
           ) AS booked_at,
           EXISTS (
               SELECT FROM own.sim_usage AS u
               WHERE u.sim_key = s.sim_key AND u.day = %(as_of)s::date AND u.spread_from IS NOT NULL
           ) AS is_spread
) AS known ON true
LEFT JOIN (
    SELECT DISTINCT sim_key FROM own.sim_quota
    WHERE kind = 'data' AND day BETWEEN %(as_of)s::date - 2 AND %(as_of)s::date + 7
      AND sim_key BETWEEN %(first_key)s AND %(last_key)s
) AS q ON q.sim_key = s.sim_key
WHERE s.sim_key BETWEEN %(first_key)s AND %(last_key)s
ORDER BY s.sim_key;
