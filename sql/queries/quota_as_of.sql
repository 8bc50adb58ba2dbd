-- Data quota of every SIM at the end of %(as_of)s, from the observation nearest to the day after it (at most a month off):
-- what was left then, plus what was used since as_of, or minus what was used until as_of. Amounts in bytes.
WITH observed AS (
    SELECT DISTINCT ON (sim_key) sim_key, day, amount_left, amount_total, expires_at
    FROM core.sim_quota
    WHERE kind = 'data' AND day BETWEEN %(as_of)s::date - 31 AND %(as_of)s::date + 7
    ORDER BY sim_key, abs(day - %(as_of)s::date - 1), day
), recent AS MATERIALIZED (
    SELECT sim_key, day, bytes FROM core.sim_usage
    WHERE day BETWEEN %(as_of)s::date - 31 AND %(as_of)s::date + 7
), used AS MATERIALIZED (
    SELECT o.sim_key,
           sum(u.bytes) FILTER (WHERE u.day > %(as_of)s::date AND u.day <= o.day) AS since,
           sum(u.bytes) FILTER (WHERE u.day <= %(as_of)s::date AND u.day > o.day) AS until
    FROM observed AS o JOIN recent AS u USING (sim_key)
    GROUP BY o.sim_key
)
SELECT o.sim_key, (o.amount_left + coalesce(u.since, 0) - coalesce(u.until, 0))::bigint AS quota_left,
       o.amount_total AS quota_total, (o.expires_at AT TIME ZONE 'UTC')::date AS expires_on
FROM observed AS o LEFT JOIN used AS u USING (sim_key);
