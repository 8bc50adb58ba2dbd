-- One row a country and operator that SIMs were last seen in up to %(as_of)s (NULL: never seen), the %(top)s with the most SIMs: SIMs, and the
-- bytes (millionths of a MB) that they used in the %(days)s days up to then, wherever that was. total: how many there are. Indexes: primary keys.
-- Of the SIMs with the keys %(sims)s; NULL: all.
SELECT coalesce(e.country, c.country) AS country, coalesce(e.operator, c.operator) AS operator, count(*) AS sims,
       coalesce(sum(u.bytes), 0)::bigint AS bytes, count(*) OVER () AS total
FROM core.sims AS s
LEFT JOIN LATERAL (
    SELECT country, operator FROM core.sim_events
    WHERE sim_key = s.sim_key AND occurred_at < (%(as_of)s::date + 1)::timestamp AT TIME ZONE 'UTC' AND country IS NOT NULL
    ORDER BY occurred_at DESC LIMIT 1
) AS e ON true
LEFT JOIN LATERAL (
    SELECT country, operator FROM core.sim_connectivity
    WHERE e.country IS NULL AND sim_key = s.sim_key AND day <= %(as_of)s AND country IS NOT NULL
    ORDER BY day DESC LIMIT 1
) AS c ON true
LEFT JOIN (
    SELECT sim_key, sum(bytes) AS bytes FROM core.sim_usage
    WHERE day > %(as_of)s::date - %(days)s::integer AND day <= %(as_of)s
    GROUP BY sim_key
) AS u USING (sim_key)
WHERE (%(sims)s::integer[] IS NULL OR s.sim_key = ANY(%(sims)s::integer[]))
GROUP BY 1, 2
ORDER BY 1 IS NULL, sims DESC, 1, 2 LIMIT %(top)s;
