-- Orders: one row an order.
-- staged: order_number bigint, order_type text, ordered_at timestamptz, status text, invoice_minor bigint, currency text, products jsonb, iccids text[], changed_at timestamptz
WITH compared AS (
    SELECT s.*, t.organization_id IS NULL AS is_new,
           t.organization_id IS NOT NULL
               AND (s.order_type, s.ordered_at, s.status, s.invoice_minor, s.currency, s.products, s.iccids)
               IS DISTINCT FROM (t.order_type, t.ordered_at, t.status, t.invoice_minor, t.currency, t.products, t.iccids) AS is_changed
    FROM staged AS s LEFT JOIN core.orders AS t ON t.organization_id = (SELECT ops.current_organization()) AND t.order_number = s.order_number
), written AS (
    INSERT INTO core.orders (organization_id, order_number, order_type, ordered_at, status, invoice_minor, currency, products, iccids, changed_at)
    SELECT (SELECT ops.current_organization()), order_number, order_type, ordered_at, status, invoice_minor, currency, products, iccids, changed_at
    FROM compared WHERE is_new OR is_changed
    ON CONFLICT (organization_id, order_number) DO UPDATE SET
        order_type = excluded.order_type,
        ordered_at = excluded.ordered_at,
        status = excluded.status,
        invoice_minor = excluded.invoice_minor,
        currency = excluded.currency,
        products = excluded.products,
        iccids = excluded.iccids,
        changed_at = excluded.changed_at
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
