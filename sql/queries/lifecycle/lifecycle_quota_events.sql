-- Days on which the quota of a SIM with a key of the block (data or sms) was used up or topped up, from %(first)s (date) to %(now)s, at most one row a SIM, quota,
-- kind and day. The same top-up may be seen as an order, as an event and as a rise of the quota: the first of these is taken. An order
-- is taken for one of data. The quota that a SIM is given on the day of its activation is no top-up. Indexes: primary keys of core.sim_events and core.sim_quota.
WITH events AS (
    SELECT e.sim_key, (e.occurred_at AT TIME ZONE 'UTC')::date AS day, e.event_type,
           CASE WHEN e.event_type ~* 'sms' THEN 'sms' ELSE 'data' END AS quota, e.event_type ~* 'to ''?exhausted' AS is_exhaustion
    FROM own.sim_events AS e JOIN core.sims AS s USING (sim_key)
    WHERE e.sim_key BETWEEN %(first_key)s AND %(last_key)s AND e.occurred_at >= %(first)s::date AND e.occurred_at <= %(now)s
        AND e.event_type ~* 'quota' AND e.event_type ~* '(to ''?exhausted|topped up)'
        AND (e.event_type !~* 'topped up'
             OR (e.occurred_at AT TIME ZONE 'UTC')::date IS DISTINCT FROM (s.activated_at AT TIME ZONE 'UTC')::date)
), orders AS (
    SELECT s.sim_key, (o.ordered_at AT TIME ZONE 'UTC')::date AS day, min(o.order_number) AS order_number
    FROM core.orders AS o CROSS JOIN LATERAL unnest(o.iccids) AS i (iccid) JOIN core.sims AS s ON s.iccid = i.iccid
    WHERE s.sim_key BETWEEN %(first_key)s AND %(last_key)s AND o.order_type IN ('TOPUP', 'BULK_TOPUP') AND o.ordered_at >= %(first)s::date AND o.ordered_at <= %(now)s
    GROUP BY s.sim_key, (o.ordered_at AT TIME ZONE 'UTC')::date
), observed AS (
    SELECT sim_key, kind AS quota, day, amount_left, amount_total,
           lag(day) OVER w AS day_before, lag(amount_left) OVER w AS left_before, lag(amount_total) OVER w AS total_before
    FROM own.sim_quota
    WHERE sim_key BETWEEN %(first_key)s AND %(last_key)s AND day >= %(first)s::date - 31 AND observed_at <= %(now)s
    WINDOW w AS (PARTITION BY sim_key, kind ORDER BY day)
), risen AS (  -- a total that stays says that usage was corrected, not that volume was added
    SELECT *, CASE quota WHEN 'data' THEN 1e6 ELSE 1 END AS unit FROM observed
    WHERE day >= %(first)s::date AND amount_left > left_before
        AND (amount_total IS NULL OR amount_total IS DISTINCT FROM total_before)
)
SELECT sim_key, day, 'data' AS quota, 'top_up' AS kind, 'Topped up by order ' || order_number || '.' AS evidence FROM orders
UNION ALL
SELECT e.sim_key, e.day, e.quota, CASE WHEN e.is_exhaustion THEN 'exhausted' ELSE 'top_up' END,
       'Event of ' || e.day || ': ' || min(e.event_type) || '.'
FROM events AS e
WHERE e.is_exhaustion OR e.quota = 'sms'
    OR NOT EXISTS (SELECT FROM orders AS o WHERE o.sim_key = e.sim_key AND o.day BETWEEN e.day - 1 AND e.day + 1)
GROUP BY e.sim_key, e.day, e.quota, e.is_exhaustion
UNION ALL
SELECT r.sim_key, r.day, r.quota, 'top_up',
       'The quota rose from ' || round(r.left_before / r.unit, 1) || ' to ' || round(r.amount_left / r.unit, 1)
           || CASE r.quota WHEN 'data' THEN ' MB' ELSE ' SMS' END || ' between ' || r.day_before || ' and ' || r.day || '.'
FROM risen AS r
WHERE NOT EXISTS (
        SELECT FROM orders AS o
        WHERE r.quota = 'data' AND o.sim_key = r.sim_key AND o.day BETWEEN r.day_before - 1 AND r.day + 1)
    AND NOT EXISTS (
        SELECT FROM events AS e
        WHERE e.sim_key = r.sim_key AND e.quota = r.quota AND NOT e.is_exhaustion
            AND e.day BETWEEN r.day_before - 1 AND r.day + 1);
