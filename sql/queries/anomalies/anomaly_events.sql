-- Where, in which device, how often and when SIMs connected: one row a SIM, UTC day and place, up to %(as_of)s, %(days)s days back; of all SIMs,
-- or of the keys in %(sim_keys)s. hours: the UTC hours at which sessions began, a bit for each. Primary key, chunk exclusion.
SELECT sim_key, (occurred_at AT TIME ZONE 'UTC')::date AS day, imei, country, operator,
       count(*) FILTER (WHERE event_type ILIKE 'create pdp%%')::integer AS sessions,
       bit_or(1 << extract(hour FROM occurred_at AT TIME ZONE 'UTC')::integer) FILTER (WHERE event_type ILIKE 'create pdp%%') AS hours
FROM own.sim_events
WHERE occurred_at >= (%(as_of)s::date - %(days)s::integer + 1)::timestamp AT TIME ZONE 'UTC'
  AND occurred_at < (%(as_of)s::date + 1)::timestamp AT TIME ZONE 'UTC'
  AND (imei IS NOT NULL OR country IS NOT NULL OR operator IS NOT NULL OR event_type ILIKE 'create pdp%%')
  AND (%(sim_keys)s::integer[] IS NULL OR sim_key = ANY(%(sim_keys)s::integer[]))
GROUP BY 1, 2, 3, 4, 5
ORDER BY 1, 2, 3, 4, 5;
