-- Days on which a SIM's data quota was used up or topped up, from %(first)s (date) to %(now)s, at most one row a SIM, kind and day.
-- The same top-up may be seen as an order, as an event and as a rise of the quota: within a day, the first of these is taken.
WITH events AS (
    SELECT sim_key, (occurred_at AT TIME ZONE 'UTC')::date AS day, event_type,
           event_type ~* 'to ''?exhausted' AS is_exhaustion
    FROM core.sim_events
    WHERE occurred_at >= %(first)s::date AND occurred_at <= %(now)s
        AND event_type ~* 'quota' AND event_type !~* 'sms' AND event_type ~* '(to ''exhausted''|topped up)'
), orders AS (
    SELECT s.sim_key, (o.ordered_at AT TIME ZONE 'UTC')::date AS day, min(o.order_number) AS order_number
    FROM core.orders AS o CROSS JOIN LATERAL unnest(o.iccids) AS i (iccid) JOIN core.sims AS s ON s.iccid = i.iccid
    WHERE o.order_type IN ('TOPUP', 'BULK_TOPUP') AND o.ordered_at >= %(first)s::date AND o.ordered_at <= %(now)s
    GROUP BY s.sim_key, (o.ordered_at AT TIME ZONE 'UTC')::date
), observed AS (
    SELECT sim_key, day, amount_left, amount_total,
           lag(day) OVER w AS day_before, lag(amount_left) OVER w AS left_before, lag(amount_total) OVER w AS total_before
    FROM core.sim_quota
    WHERE kind = 'data' AND day >= %(first)s::date AND observed_at <= %(now)s
    WINDOW w AS (PARTITION BY sim_key ORDER BY day)
), risen AS (
    SELECT * FROM observed WHERE amount_left > left_before AND amount_total IS DISTINCT FROM total_before
)
SELECT sim_key, day, 'top_up' AS kind, 'Topped up by order ' || order_number || '.' AS evidence FROM orders
UNION ALL
SELECT e.sim_key, e.day, CASE WHEN e.is_exhaustion THEN 'exhausted' ELSE 'top_up' END,
       'Event of ' || e.day || ': ' || min(e.event_type) || '.'
FROM events AS e
WHERE e.is_exhaustion
    OR NOT EXISTS (SELECT FROM orders AS o WHERE o.sim_key = e.sim_key AND o.day BETWEEN e.day - 1 AND e.day + 1)
GROUP BY e.sim_key, e.day, e.is_exhaustion
UNION ALL
SELECT r.sim_key, r.day, 'top_up',
       'The quota rose from ' || round(r.left_before / 1e6, 1) || ' to ' || round(r.amount_left / 1e6, 1) || ' MB between '
           || r.day_before || ' and ' || r.day || '.'
FROM risen AS r
WHERE NOT EXISTS (
        SELECT FROM orders AS o WHERE o.sim_key = r.sim_key AND o.day BETWEEN r.day_before - 1 AND r.day + 1)
    AND NOT EXISTS (
        SELECT FROM events AS e
        WHERE e.sim_key = r.sim_key AND NOT e.is_exhaustion AND e.day BETWEEN r.day_before - 1 AND r.day + 1);
