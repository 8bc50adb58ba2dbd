-- What 1NCE sells to the account, one row a product: price, how many were ordered, and the price of one by the newest order that held
-- nothing else. Primary keys.
WITH lines AS (
    SELECT (p ->> 'product_id')::integer AS product_id, (p ->> 'quantity')::bigint AS quantity, o.order_number, o.ordered_at,
           o.invoice_minor, o.currency, jsonb_array_length(o.products) AS lines
    FROM core.orders AS o CROSS JOIN LATERAL jsonb_array_elements(o.products) AS p
), newest AS (
    SELECT DISTINCT ON (product_id) product_id, invoice_minor / quantity AS minor, currency
    FROM lines WHERE lines = 1 AND quantity > 0 AND invoice_minor IS NOT NULL
    ORDER BY product_id, ordered_at DESC NULLS LAST, order_number DESC
)
SELECT p.product_id, p.name, p.one_time_minor, p.recurring_minor, p.currency,
       coalesce((SELECT sum(l.quantity) FROM lines AS l WHERE l.product_id = p.product_id), 0)::bigint AS ordered,
       n.minor AS ordered_minor, n.currency AS ordered_currency
FROM core.products AS p LEFT JOIN newest AS n USING (product_id)
ORDER BY p.product_id;
