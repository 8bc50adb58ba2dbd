-- One row a SIM of a list with usage: its last day with a record, and sums of the days that end with it, in bytes. sim: its ICCID.
-- Parameters: iccids text[]. Indexes: sims_organization_id_iccid_key, sim_usage_key.
WITH sims AS MATERIALIZED (  -- the look-up once a SIM
    SELECT iccid, sim_key, usage_day FROM core.sim_newest WHERE iccid = ANY (%(iccids)s::text[])
)

SELECT s.usage_day AS last_day, u.of_last_day, u.of_7_days, u.of_30_days, s.iccid AS sim
FROM sims AS s
CROSS JOIN LATERAL (
    SELECT coalesce(sum(x.bytes) FILTER (WHERE x.day = s.usage_day), 0)::bigint AS of_last_day,
           coalesce(sum(x.bytes) FILTER (WHERE x.day > s.usage_day - 7), 0)::bigint AS of_7_days,
           coalesce(sum(x.bytes), 0)::bigint AS of_30_days
    FROM core.sim_usage AS x WHERE x.sim_key = s.sim_key AND x.day > s.usage_day - 30 AND x.day <= s.usage_day
) AS u
WHERE s.usage_day IS NOT NULL
