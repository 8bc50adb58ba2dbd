-- Automatic top-up as of %(as_of)s of each SIM from %(first_key)s to %(last_key)s: the bytes it adds, and the bytes left at which it comes;
-- null without one. As in exhaustion_facts.sql, without what that reads of usage. Primary keys and chunk exclusion.
WITH noticed AS (
    SELECT sim_key, occurred_at, CASE WHEN event_type ILIKE '%%topped up%%' THEN 'top_up' WHEN event_type ILIKE '%%threshold%%' THEN 'threshold' ELSE 'gone' END AS kind
    FROM core.sim_events JOIN core.sims AS s USING (sim_key)
    WHERE occurred_at >= (%(as_of)s::date - 182)::timestamp AT TIME ZONE 'UTC' AND occurred_at < (%(as_of)s::date + 1)::timestamp AT TIME ZONE 'UTC'
      AND sim_key BETWEEN %(first_key)s AND %(last_key)s
      AND event_type ILIKE '%%data quota%%' AND (event_type ILIKE '%%topped up%%' OR event_type ILIKE '%%threshold%%' OR event_type ILIKE '%%exhausted%%')
      AND (event_type NOT ILIKE '%%topped up%%'
           OR (occurred_at AT TIME ZONE 'UTC')::date IS DISTINCT FROM (s.activated_at AT TIME ZONE 'UTC')::date)
), habit AS (
    SELECT DISTINCT ON (sim_key) sim_key, kind_before = 'threshold' AND occurred_at <= before + interval '1 day' AS automatic
    FROM (
        SELECT sim_key, kind, occurred_at, lag(kind) OVER w AS kind_before, lag(occurred_at) OVER w AS before
        FROM noticed WINDOW w AS (PARTITION BY sim_key ORDER BY occurred_at, kind)
    ) AS paired
    WHERE kind = 'top_up' ORDER BY sim_key, occurred_at DESC
), seen AS (
    SELECT DISTINCT ON (sim_key) sim_key, amount_total, last_added
    FROM core.sim_quota
    WHERE day BETWEEN %(as_of)s::date - 31 AND %(as_of)s::date + 7 AND sim_key BETWEEN %(first_key)s AND %(last_key)s AND kind = 'data'
    ORDER BY sim_key, abs(day - %(as_of)s::date), day
)
SELECT s.sim_key, CASE WHEN h.automatic THEN d.last_added END AS topup, CASE WHEN h.automatic THEN d.amount_total / 5 END AS topup_at
FROM core.sims AS s LEFT JOIN habit AS h USING (sim_key) LEFT JOIN seen AS d ON d.sim_key = s.sim_key
WHERE s.sim_key BETWEEN %(first_key)s AND %(last_key)s
ORDER BY s.sim_key;
