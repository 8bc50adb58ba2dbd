-- Of SIMs whose usage does not come by the usage call, all or those in %(sim_keys)s: the first day up to %(as_of)s that is not known yet.
-- One row a SIM that has one. A SIM that 1NCE refuses as expired uses nothing: its days are known. Primary keys, read from their newest end.
WITH gone AS (
    SELECT EXISTS (SELECT FROM ops.once_calls WHERE call = 'usage' AND version = 'v1' AND gone_since IS NOT NULL) AS for_all
)
SELECT s.sim_key, greatest(p.covered_to, u.day) + 1 AS unknown_from
FROM core.sims AS s
CROSS JOIN gone AS g
LEFT JOIN ops.polls AS p ON p.sim_key = s.sim_key AND p.source = 'usage'
CROSS JOIN LATERAL (
    SELECT day, source FROM own.sim_usage WHERE sim_key = s.sim_key AND day <= %(as_of)s ORDER BY day DESC LIMIT 1
) AS u
WHERE (%(sim_keys)s::integer[] IS NULL OR s.sim_key = ANY(%(sim_keys)s::integer[]))
  AND (g.for_all OR p.problem = 'OnceNotOnV1Error' OR u.source IN ('s', 'q'))
  AND p.problem IS DISTINCT FROM 'OnceSimExpiredError'
  AND greatest(p.covered_to, u.day) < %(as_of)s
ORDER BY s.sim_key;
