-- Which of some orders are known to be of an action. Parameters: order_numbers bigint[].
SELECT order_number FROM ops.action_requests WHERE order_number = ANY(%(order_numbers)s::bigint[])
