-- One row a UTC day of a SIM's usage, oldest first, with where it was seen last up to then, at most six days before; total in bytes (millionths of a
-- MB). Parameters: iccid text; days integer, those that end with the last day with a record. Indexes: sims_organization_id_iccid_key,
-- sim_usage_key, sim_events_pkey, sim_connectivity_pkey.
WITH sim AS (SELECT sim_key FROM core.sims WHERE iccid = %(iccid)s::text)
SELECT u.day, u.bytes AS total, coalesce(e.country, c.country) AS country, CASE WHEN e.country IS NULL THEN c.operator ELSE e.operator END AS operator
FROM core.sim_usage AS u
LEFT JOIN LATERAL (
    SELECT country, operator FROM core.sim_events
    WHERE sim_key = (SELECT sim_key FROM sim) AND occurred_at >= (u.day - 6)::timestamp AT TIME ZONE 'UTC'
      AND occurred_at < (u.day + 1)::timestamp AT TIME ZONE 'UTC' AND country IS NOT NULL
    ORDER BY occurred_at DESC LIMIT 1
) AS e ON true
LEFT JOIN LATERAL (
    SELECT country, operator FROM core.sim_connectivity
    WHERE e.country IS NULL AND sim_key = (SELECT sim_key FROM sim) AND day BETWEEN u.day - 6 AND u.day AND country IS NOT NULL
    ORDER BY day DESC LIMIT 1
) AS c ON true
WHERE u.sim_key = (SELECT sim_key FROM sim)
  AND u.day > (SELECT n.usage_day FROM core.sim_newest AS n WHERE n.iccid = %(iccid)s::text) - %(days)s::integer
ORDER BY u.day
