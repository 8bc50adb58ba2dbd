-- When SIMs were out of service, or their usage up to %(as_of)s was not asked for and came from no other source: nothing is odd about their
-- silence then. last_day is NULL while it lasts; %(lateness)s integer: days until a day's usage is complete; of all SIMs, or of the keys in
-- %(sim_keys)s. Primary keys of core.sim_lifecycle, ops.polls and core.sim_usage.
WITH steps AS (
    SELECT sim_key, occurred_on AS first_day, to_value AS state,
           lead(occurred_on) OVER (PARTITION BY sim_key ORDER BY occurred_on, entry_id) AS next_day
    FROM core.sim_lifecycle WHERE kind = 'state' AND occurred_on <= %(as_of)s
      AND (%(sim_keys)s::integer[] IS NULL OR sim_key = ANY(%(sim_keys)s::integer[]))
)
SELECT p.sim_key, p.first_day, p.next_day AS last_day,
       CASE WHEN p.next_day IS NULL AND t.state = p.state THEN
           CASE t.cause WHEN 'exhausted' THEN 'exhausted' WHEN 'disabled' THEN 'disabled' ELSE p.state END
       ELSE p.state END AS state
FROM steps AS p LEFT JOIN core.sim_states AS t USING (sim_key)
WHERE p.state IN ('ordered', 'issued', 'activated', 'suspended', 'expired', 'deactivated')
UNION ALL
SELECT p.sim_key, coalesce(u.day, p.covered_to - %(lateness)s::integer) + 1, NULL, 'not_asked'
FROM ops.polls AS p
LEFT JOIN LATERAL (
    SELECT day FROM own.sim_usage
    WHERE sim_key = p.sim_key AND day > p.covered_to - %(lateness)s::integer AND day <= %(as_of)s AND source <> 'c'
    ORDER BY day DESC LIMIT 1
) AS u ON true
WHERE p.source = 'usage' AND p.covered_to - %(lateness)s::integer < %(as_of)s AND u.day IS DISTINCT FROM %(as_of)s::date
  AND (%(sim_keys)s::integer[] IS NULL OR p.sim_key = ANY(%(sim_keys)s::integer[]))
ORDER BY sim_key, first_day;
