-- What was said of SIMs, of the keys in %(sim_keys)s, one row a SIM, day and fact (ml.churn.ends.FACTS), as decided by %(as_of)s (date).
-- The state machine has told apart what 1NCE said (docs/lifecycle.md): its evidence of a suspension names the quota, or the SIM list.
-- A SIM is swapped on the day on which a device that was known with it was first seen with another SIM; that other SIM is not.
-- Primary key of core.sim_lifecycle; sims_by_imei.
WITH entries AS (
    SELECT sim_key, occurred_on AS day, kind, from_value, to_value, evidence ~* '^(disabled|not in the sim list|unknown to|1nce does not know)' AS is_off
    FROM core.sim_lifecycle
    WHERE sim_key = ANY(%(sim_keys)s::integer[]) AND as_of <= %(as_of)s AND occurred_on <= %(as_of)s
), devices AS (  -- a change after the day tells of the device that was there before it
    SELECT s.sim_key, left(s.imei, 14) AS device FROM core.sims AS s WHERE s.sim_key = ANY(%(sim_keys)s::integer[]) AND s.imei IS NOT NULL
    UNION
    SELECT l.sim_key, left(d.imei, 14)
    FROM core.sim_lifecycle AS l
    CROSS JOIN LATERAL (VALUES (l.from_value), (CASE WHEN l.occurred_on <= %(as_of)s THEN l.to_value END)) AS d (imei)
    WHERE l.sim_key = ANY(%(sim_keys)s::integer[]) AND l.kind = 'imei_change' AND d.imei IS NOT NULL
), takers AS (  -- of the whole fleet: the other SIM need not be one of those asked for
    SELECT sim_key, occurred_on AS day, left(to_value, 14) AS device
    FROM core.sim_lifecycle WHERE kind = 'imei_change' AND as_of <= %(as_of)s AND occurred_on <= %(as_of)s
)
SELECT sim_key, day,
       CASE WHEN to_value = 'expired' THEN 'expired' WHEN to_value = 'deactivated' OR is_off THEN 'disabled' ELSE 'exhausted' END AS fact
FROM entries WHERE kind = 'state' AND to_value IN ('suspended', 'deactivated', 'expired')
UNION
SELECT e.sim_key, e.day, f.fact
FROM entries AS e CROSS JOIN (VALUES ('enabled'), ('topped_up')) AS f (fact)
WHERE e.kind = 'state' AND e.from_value IN ('suspended', 'deactivated', 'expired') AND e.to_value NOT IN ('suspended', 'deactivated', 'expired')
UNION
SELECT sim_key, day, 'topped_up' FROM entries WHERE kind = 'top_up' AND to_value = 'data'
UNION  -- switched off while its quota was used up: no new state, and no entry
SELECT sim_key, off_on, 'disabled' FROM core.sim_states
WHERE sim_key = ANY(%(sim_keys)s::integer[]) AND as_of <= %(as_of)s AND off_on <= %(as_of)s
UNION
SELECT d.sim_key, min(t.day), 'swapped'
FROM devices AS d JOIN takers AS t ON t.device = d.device AND t.sim_key <> d.sim_key
-- the one that has the device by its own change took it itself
WHERE NOT EXISTS (SELECT FROM takers AS own WHERE own.sim_key = d.sim_key AND own.device = d.device AND own.day >= t.day)
GROUP BY d.sim_key
ORDER BY sim_key, day, fact;
