-- When SIMs used data, as the Data Streamer told it: one row a SIM and UTC day up to %(as_of)s, %(days)s days back, of the keys in
-- %(sim_keys)s. hours: the UTC hours in which usage records begin, a bit for each. Index stream_usage_by_sim, chunk exclusion.
SELECT sim_key, day, bit_or(1 << extract(hour FROM started_at AT TIME ZONE 'UTC')::integer) AS hours
FROM own.stream_usage
WHERE day <= %(as_of)s AND day > %(as_of)s::date - %(days)s::integer AND kind = 'data' AND bytes > 0
  AND (started_at AT TIME ZONE 'UTC')::date = day
  AND sim_key = ANY(%(sim_keys)s::integer[])
GROUP BY sim_key, day
ORDER BY sim_key, day;
