-- Data quota of the SIMs from %(first_key)s to %(last_key)s at the end of %(as_of)s, from the observation nearest to then (at most a month off):
-- what was left then, plus what was used since as_of, or minus what was used until as_of. Amounts in bytes.
-- Of the day of the observation counts the part before it, as if a day's use were spread evenly over the time it is known for.
WITH observed AS (
    SELECT DISTINCT ON (sim_key) sim_key, day, observed_at, amount_left, amount_total, expires_at
    FROM own.sim_quota
    WHERE kind = 'data' AND day BETWEEN %(as_of)s::date - 31 AND %(as_of)s::date + 7
      AND sim_key BETWEEN %(first_key)s AND %(last_key)s
    ORDER BY sim_key, abs(extract(epoch FROM observed_at - (%(as_of)s::date + 1)::timestamp AT TIME ZONE 'UTC'))
), recent AS MATERIALIZED (
    SELECT sim_key, day, bytes, day::timestamp AT TIME ZONE 'UTC' AS begins,
           least(known_at, (day + 1)::timestamp AT TIME ZONE 'UTC') AS reaches
    FROM own.sim_usage
    WHERE day BETWEEN %(as_of)s::date - 31 AND %(as_of)s::date + 7
      AND sim_key BETWEEN %(first_key)s AND %(last_key)s
), counted AS (
    SELECT o.sim_key, u.day, u.bytes,
           CASE WHEN u.day < o.day OR o.observed_at >= u.reaches THEN u.bytes
                WHEN u.day > o.day THEN 0
                ELSE floor(u.bytes * extract(epoch FROM o.observed_at - u.begins) / extract(epoch FROM u.reaches - u.begins))
           END AS before
    FROM observed AS o JOIN recent AS u USING (sim_key)
), used AS MATERIALIZED (
    SELECT sim_key, sum(before) FILTER (WHERE day > %(as_of)s::date) AS since,
           sum(bytes - before) FILTER (WHERE day <= %(as_of)s::date) AS until
    FROM counted GROUP BY sim_key
)
SELECT o.sim_key, (o.amount_left + coalesce(u.since, 0) - coalesce(u.until, 0))::bigint AS quota_left,
       o.amount_total AS quota_total, (o.expires_at AT TIME ZONE 'UTC')::date AS expires_on
FROM observed AS o LEFT JOIN used AS u USING (sim_key);
