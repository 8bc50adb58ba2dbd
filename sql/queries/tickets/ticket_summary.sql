-- The tickets that are sorted: how many, unsolved ones of high priority, and unsolved ones that a person is to decide. No row without any.
SELECT count(*) AS tickets, count(*) FILTER (WHERE status <> 'CLOSED' AND priority = 'high') AS urgent,
       count(*) FILTER (WHERE status <> 'CLOSED' AND to_person) AS to_person
FROM predictions.tickets_v1 WHERE decided_by IS NOT NULL
HAVING count(*) > 0;
