-- One row a category: tickets that are not closed. Parameters: none.
SELECT category, count(*) AS tickets FROM predictions.tickets_v1 WHERE status <> 'CLOSED' GROUP BY category ORDER BY tickets DESC, category
