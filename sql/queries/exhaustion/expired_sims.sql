-- SIMs from %(first_key)s to %(last_key)s that have expired as of %(as_of)s: 1NCE refuses to answer for them (API v1), or the
-- newest look at their quota within a week after says that their validity is over. Primary keys.
SELECT sim_key FROM ops.polls
WHERE source = 'quota' AND problem = 'OnceSimExpiredError' AND (polled_at AT TIME ZONE 'UTC')::date <= %(as_of)s::date + 7
  AND sim_key BETWEEN %(first_key)s AND %(last_key)s
UNION
SELECT s.sim_key
FROM core.sims AS s
CROSS JOIN LATERAL (
    SELECT expires_at FROM own.sim_quota
    WHERE sim_key = s.sim_key AND kind = 'data' AND day <= %(as_of)s::date + 7
    ORDER BY day DESC LIMIT 1
) AS q
WHERE s.sim_key BETWEEN %(first_key)s AND %(last_key)s
  AND q.expires_at < (%(as_of)s::date + 1)::timestamp AT TIME ZONE 'UTC';
