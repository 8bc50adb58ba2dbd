-- One row a currency of the account's orders up to %(as_of)s: orders and minor units invoiced in the last 30 and 365 days, and orders whose
-- amount is not known yet. Primary key.
SELECT o.currency, count(*) FILTER (WHERE o.ordered_on > %(as_of)s::date - 30) AS orders_30, count(*) AS orders_365,
       coalesce(sum(o.invoice_minor) FILTER (WHERE o.ordered_on > %(as_of)s::date - 30), 0)::bigint AS minor_30,
       coalesce(sum(o.invoice_minor), 0)::bigint AS minor_365,
       count(*) FILTER (WHERE o.invoice_minor IS NULL) AS unknown
FROM (SELECT *, (ordered_at AT TIME ZONE 'UTC')::date AS ordered_on FROM core.orders) AS o
WHERE o.ordered_on <= %(as_of)s AND o.ordered_on > %(as_of)s::date - 365
GROUP BY o.currency ORDER BY o.currency;
