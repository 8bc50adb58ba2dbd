-- Tickets, the most urgent first, then the newest. to_person, category, unsolved: NULL for any. %(rows)s at most.
SELECT case_id, opened_at, status, category, confidence, priority, to_person, iccid, decided_by, subject, reasons
FROM predictions.tickets_v1
WHERE (%(category)s::text IS NULL OR category = %(category)s::text)
    AND (%(to_person)s::boolean IS NULL OR to_person = %(to_person)s::boolean)
    AND (%(unsolved)s::boolean IS NULL OR (status <> 'CLOSED') = %(unsolved)s::boolean)
ORDER BY array_position(ARRAY['high', 'medium', 'low'], priority), opened_at DESC NULLS LAST, case_id
LIMIT %(rows)s;
