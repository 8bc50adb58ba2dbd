-- Top-ups of some SIMs after %(first)s, one row each, as events and as orders say them; an order is taken for one of data.
-- Primary key of core.sim_events.
SELECT sim_key, CASE WHEN event_type ILIKE '%%sms%%' THEN 'sms' ELSE 'data' END AS kind, occurred_at AS at, false AS is_order
FROM own.sim_events
WHERE sim_key = ANY(%(sim_keys)s::integer[]) AND occurred_at >= %(first)s AND event_type ILIKE '%%quota topped up%%'
UNION ALL
SELECT s.sim_key, 'data', o.ordered_at, true
FROM core.orders AS o
CROSS JOIN LATERAL unnest(o.iccids) AS i (iccid)
JOIN core.sims AS s ON s.iccid = i.iccid
WHERE o.order_type IN ('TOPUP', 'BULK_TOPUP') AND o.ordered_at >= %(first)s AND s.sim_key = ANY(%(sim_keys)s::integer[]);
