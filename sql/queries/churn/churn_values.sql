-- What was invoiced for SIMs from %(first_key)s to %(last_key)s by orders up to %(as_of)s (date), one row a SIM: value_minor in minor units, and
-- currency: of several, that with the most. An order counts for each of its SIMs alike. Whole core.orders.
SELECT DISTINCT ON (s.sim_key) s.sim_key, round(sum(o.invoice_minor::numeric / cardinality(o.iccids)))::bigint AS value_minor, o.currency
FROM core.orders AS o CROSS JOIN LATERAL unnest(o.iccids) AS i (iccid) JOIN core.sims AS s ON s.iccid = i.iccid
WHERE o.invoice_minor > 0 AND o.currency IS NOT NULL AND o.ordered_at < (%(as_of)s::date + 1)::timestamp AT TIME ZONE 'UTC'
    AND s.sim_key BETWEEN %(first_key)s AND %(last_key)s
GROUP BY s.sim_key, o.currency
ORDER BY s.sim_key, value_minor DESC, o.currency;
