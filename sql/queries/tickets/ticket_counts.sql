-- One row a category and priority of the tickets opened up to %(as_of)s (date): tickets, to_person, unsolved.
SELECT coalesce(category, 'no text') AS category, priority, count(*) AS tickets, count(*) FILTER (WHERE to_person) AS to_person,
       count(*) FILTER (WHERE status <> 'CLOSED') AS unsolved
FROM predictions.tickets_v1
WHERE decided_by IS NOT NULL AND (opened_at IS NULL OR opened_at < %(as_of)s::date + 1)
GROUP BY 1, 2
ORDER BY tickets DESC, category, priority;
