-- One row a SIM, the %(top)s whose use in the %(days)s days up to %(as_of)s differs most from that of as many days before: bytes
-- (millionths of a MB) of both. SIMs activated within these days are no change. Index: sim_usage_by_day.
-- Of the SIMs with the keys %(sims)s; NULL: all.
SELECT s.iccid, coalesce(s.own_label, s.label) AS label, u.bytes, u.before
FROM (
    SELECT sim_key,
           coalesce(sum(bytes) FILTER (WHERE day > %(as_of)s::date - %(days)s::integer), 0)::bigint AS bytes,
           coalesce(sum(bytes) FILTER (WHERE day <= %(as_of)s::date - %(days)s::integer), 0)::bigint AS before
    FROM core.sim_usage
    WHERE day > %(as_of)s::date - 2 * %(days)s::integer AND day <= %(as_of)s AND (%(sims)s::integer[] IS NULL OR sim_key = ANY(%(sims)s::integer[]))
    GROUP BY sim_key
) AS u JOIN core.sims AS s USING (sim_key)
WHERE u.bytes <> u.before
  AND (s.activated_at AT TIME ZONE 'UTC')::date <= %(as_of)s::date - 2 * %(days)s::integer
ORDER BY abs(u.bytes - u.before) DESC, s.iccid LIMIT %(top)s;
