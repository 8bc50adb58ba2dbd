-- One row: the order that lists a SIM which is not in the SIM list; none when no order does.
-- Parameters: iccid text. Asked only for a SIM that is not listed: it looks through the orders.
SELECT 0::bigint AS entry_id, (ordered_at AT TIME ZONE 'UTC')::date AS occurred_on, 'state' AS kind, NULL AS from_value,
       'ordered' AS to_value,
       'In order ' || order_number || ' of ' || (ordered_at AT TIME ZONE 'UTC')::date || ', not in the SIM list yet.' AS evidence,
       (ordered_at AT TIME ZONE 'UTC')::date AS as_of, 'order ' || order_number AS decided_by, changed_at AS decided_at
FROM core.orders
WHERE %(iccid)s::text = ANY (iccids) AND order_type IN ('FIRST_ORDER', 'ADDITIONAL_ORDER') AND ordered_at IS NOT NULL
ORDER BY ordered_at
LIMIT 1
