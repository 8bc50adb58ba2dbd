-- The account: products and prices, orders, support tickets.
SET LOCAL ROLE simsight_owner;

CREATE TABLE core.products (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    product_id integer NOT NULL,
    name text NOT NULL,
    package_size integer,
    one_time_minor bigint,
    recurring_minor bigint,
    currency text,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, product_id)
);
COMMENT ON TABLE core.products IS 'One row a product that can be ordered';
COMMENT ON COLUMN core.products.organization_id IS 'Organization';
COMMENT ON COLUMN core.products.product_id IS '1NCE''s id of the product';
COMMENT ON COLUMN core.products.name IS 'Name';
COMMENT ON COLUMN core.products.package_size IS 'Pieces in a package';
COMMENT ON COLUMN core.products.one_time_minor IS 'Net one-time price in minor units of the currency';
COMMENT ON COLUMN core.products.recurring_minor IS 'Net recurring price in minor units of the currency';
COMMENT ON COLUMN core.products.currency IS 'ISO 4217 code';
COMMENT ON COLUMN core.products.changed_at IS 'When anything here last changed (UTC)';
SELECT ops.guard('core.products');

CREATE TABLE core.orders (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    order_number bigint NOT NULL,
    order_type text NOT NULL,
    ordered_at timestamptz,
    status text,
    invoice_minor bigint,
    currency text,
    products jsonb NOT NULL,
    iccids text[] NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, order_number)
);
COMMENT ON TABLE core.orders IS 'One row an order: SIMs, top-ups, tariff changes';
COMMENT ON COLUMN core.orders.organization_id IS 'Organization';
COMMENT ON COLUMN core.orders.order_number IS '1NCE''s number';
COMMENT ON COLUMN core.orders.order_type IS 'FIRST_ORDER, ADDITIONAL_ORDER, TOPUP, BULK_TOPUP or TARIFF_CHANGE';
COMMENT ON COLUMN core.orders.ordered_at IS 'When it was placed (UTC)';
COMMENT ON COLUMN core.orders.status IS 'Status in words';
COMMENT ON COLUMN core.orders.invoice_minor IS 'Invoice amount in minor units of the currency';
COMMENT ON COLUMN core.orders.currency IS 'ISO 4217 code';
COMMENT ON COLUMN core.orders.products IS 'Ordered products: [{product_id, quantity}]';
COMMENT ON COLUMN core.orders.iccids IS 'SIMs in the order';
COMMENT ON COLUMN core.orders.changed_at IS 'When anything here last changed (UTC)';
SELECT ops.guard('core.orders');

CREATE TABLE core.tickets (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    case_id text NOT NULL,
    subject text,
    body text,
    status text NOT NULL CHECK (status IN ('OPEN', 'IN_PROGRESS', 'CLOSED')),
    created_at timestamptz,
    solved_at timestamptz,
    communications jsonb NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, case_id)
);
COMMENT ON TABLE core.tickets IS 'One row a support request; the SIMs concerned stand in its text only';
COMMENT ON COLUMN core.tickets.organization_id IS 'Organization';
COMMENT ON COLUMN core.tickets.case_id IS '1NCE''s id';
COMMENT ON COLUMN core.tickets.subject IS 'Subject';
COMMENT ON COLUMN core.tickets.body IS 'Text';
COMMENT ON COLUMN core.tickets.status IS 'OPEN, IN_PROGRESS or CLOSED';
COMMENT ON COLUMN core.tickets.created_at IS 'When it was opened (UTC)';
COMMENT ON COLUMN core.tickets.solved_at IS 'When it was solved (UTC)';
COMMENT ON COLUMN core.tickets.communications IS 'Messages that belong to it';
COMMENT ON COLUMN core.tickets.changed_at IS 'When anything here last changed (UTC)';
SELECT ops.guard('core.tickets');
