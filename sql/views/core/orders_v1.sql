CREATE OR REPLACE VIEW core.orders_v1 WITH (security_invoker = true) AS
SELECT
    organization_id,
    order_number,
    order_type,
    ordered_at,
    status,
    invoice_minor,
    currency,
    cardinality(iccids) AS sims,
    changed_at
FROM core.orders;

COMMENT ON VIEW core.orders_v1 IS
    'One row an order: SIMs, top-ups, tariff changes. invoice_minor: invoice amount in minor units of the currency; '
    'sims: how many SIMs it names';

GRANT SELECT ON core.orders_v1 TO simsight_pipeline, simsight_api;
