-- How many SIMs are in an order for new SIMs placed until %(now)s, and not in the SIM list.
SELECT count(DISTINCT i.iccid) AS sims
FROM core.orders AS o CROSS JOIN LATERAL unnest(o.iccids) AS i (iccid)
WHERE o.order_type IN ('FIRST_ORDER', 'ADDITIONAL_ORDER') AND o.ordered_at <= %(now)s
    AND NOT EXISTS (SELECT FROM core.sims AS s WHERE s.iccid = i.iccid);
