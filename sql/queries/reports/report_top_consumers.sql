-- One row a SIM, the %(top)s with the most bytes (millionths of a MB) in the %(days)s days up to %(as_of)s.
-- total: SIMs with any usage; fleet_bytes: what they used together. Index: sim_usage_by_day.
-- Of the SIMs with the keys %(sims)s; NULL: all.
SELECT s.sim_key, s.iccid, coalesce(s.own_label, s.label) AS label, u.bytes, u.total, u.fleet_bytes
FROM (
    SELECT sim_key, sum(bytes)::bigint AS bytes, count(*) OVER () AS total, (sum(sum(bytes)) OVER ())::bigint AS fleet_bytes
    FROM core.sim_usage
    WHERE day > %(as_of)s::date - %(days)s::integer AND day <= %(as_of)s AND bytes > 0
        AND (%(sims)s::integer[] IS NULL OR sim_key = ANY(%(sims)s::integer[]))
    GROUP BY sim_key ORDER BY 2 DESC, 1 LIMIT %(top)s
) AS u JOIN core.sims AS s USING (sim_key)
ORDER BY u.bytes DESC, s.iccid;
