-- Products: one row a product.
-- staged: product_id integer, name text, package_size integer, one_time_minor bigint, recurring_minor bigint, currency text, changed_at timestamptz
WITH compared AS (
    SELECT s.*, t.organization_id IS NULL AS is_new,
           t.organization_id IS NOT NULL
               AND (s.name, s.package_size, s.one_time_minor, s.recurring_minor, s.currency)
               IS DISTINCT FROM (t.name, t.package_size, t.one_time_minor, t.recurring_minor, t.currency) AS is_changed
    FROM staged AS s LEFT JOIN core.products AS t ON t.organization_id = (SELECT ops.current_organization()) AND t.product_id = s.product_id
), written AS (
    INSERT INTO core.products (organization_id, product_id, name, package_size, one_time_minor, recurring_minor, currency, changed_at)
    SELECT (SELECT ops.current_organization()), product_id, name, package_size, one_time_minor, recurring_minor, currency, changed_at
    FROM compared WHERE is_new OR is_changed
    ON CONFLICT (organization_id, product_id) DO UPDATE SET
        name = excluded.name,
        package_size = excluded.package_size,
        one_time_minor = excluded.one_time_minor,
        recurring_minor = excluded.recurring_minor,
        currency = excluded.currency,
        changed_at = excluded.changed_at
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
