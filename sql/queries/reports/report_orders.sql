-- One row a currency and type of the orders placed from %(first)s to %(last)s: orders, minor units invoiced, and orders whose amount is not known. Of
-- the SIMs with the keys %(sims)s (NULL: all orders): an order counts by the share of its SIMs that are among them. Whole core.orders.
SELECT o.currency, o.order_type, count(*) AS orders, coalesce(round(sum(o.invoice_minor * o.part)), 0)::bigint AS invoiced_minor,
       count(*) FILTER (WHERE o.invoice_minor IS NULL) AS unknown
FROM (
    SELECT *, CASE WHEN %(sims)s::integer[] IS NULL THEN 1::numeric ELSE (
        SELECT count(*)::numeric / nullif(cardinality(iccids), 0) FROM core.sims AS s
        WHERE s.sim_key = ANY(%(sims)s::integer[]) AND s.iccid = ANY(iccids)) END AS part
    FROM core.orders
    WHERE (ordered_at AT TIME ZONE 'UTC')::date BETWEEN %(first)s AND %(last)s
) AS o
WHERE o.part > 0
GROUP BY o.currency, o.order_type ORDER BY o.currency, invoiced_minor DESC, o.order_type;
