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
COMMENT ON COLUMN core.orders_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN core.orders_v1.order_number IS '1NCE''s number of the order';
COMMENT ON COLUMN core.orders_v1.order_type IS 'FIRST_ORDER, ADDITIONAL_ORDER, TOPUP, BULK_TOPUP or TARIFF_CHANGE';
COMMENT ON COLUMN core.orders_v1.ordered_at IS 'When it was placed (UTC)';
COMMENT ON COLUMN core.orders_v1.status IS 'Status in words';
COMMENT ON COLUMN core.orders_v1.invoice_minor IS 'Invoice amount in minor units of the currency';
COMMENT ON COLUMN core.orders_v1.currency IS 'ISO 4217 code';
COMMENT ON COLUMN core.orders_v1.sims IS 'How many SIMs it names';
COMMENT ON COLUMN core.orders_v1.changed_at IS 'When anything here last changed (UTC)';

GRANT SELECT ON core.orders_v1 TO simsight_pipeline, simsight_api;
