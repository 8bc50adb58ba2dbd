-- One row a UTC day on which a SIM began sessions, the newest first, up to the last day with usage of any SIM: how many, the bytes of the day
-- (millionths of a MB), and where it was last seen on it. Parameters: iccid text, days integer. Indexes: sims_organization_id_iccid_key,
-- sim_events_pkey, sim_usage_key.
WITH sim AS (SELECT sim_key FROM core.sims WHERE iccid = %(iccid)s::text), newest AS (SELECT max(usage_day) AS day FROM core.sim_newest)
SELECT e.day, e.sessions, coalesce(u.bytes, 0) AS bytes, e.place[1] AS country, e.place[2] AS operator
FROM (
    SELECT (occurred_at AT TIME ZONE 'UTC')::date AS day, count(*) AS sessions, max(ARRAY[country, operator]) AS place
    FROM core.sim_events
    WHERE sim_key = (SELECT sim_key FROM sim) AND event_type = 'Create PDP Context'
      AND occurred_at >= ((SELECT day FROM newest) - %(days)s::integer + 1)::timestamp AT TIME ZONE 'UTC'
      AND occurred_at < ((SELECT day FROM newest) + 1)::timestamp AT TIME ZONE 'UTC'
    GROUP BY 1
) AS e
LEFT JOIN core.sim_usage AS u ON u.sim_key = (SELECT sim_key FROM sim) AND u.day = e.day
ORDER BY e.day DESC
