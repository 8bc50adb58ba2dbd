-- Orders with what the checks look at.
SELECT order_type, ordered_at, invoice_minor FROM core.orders;
