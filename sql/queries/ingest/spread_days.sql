-- The first day from %(first)s on of each of some SIMs that only the sum of a stretch between looks at the quota is known of.
-- Index sim_usage_key.
SELECT sim_key, min(day) AS day FROM core.sim_usage
WHERE sim_key = ANY(%(sim_keys)s::integer[]) AND day BETWEEN %(first)s AND %(last)s AND spread_from IS NOT NULL
GROUP BY sim_key;
