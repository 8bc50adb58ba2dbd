-- Tickets that are not closed: by priority, then the oldest. Parameters: category text or NULL for any; rows integer.
SELECT case_id, subject, status, opened_at, category, confidence, priority, to_person, reasons, iccid, label, decided_by, corrected_by
FROM (
    SELECT t.*, s.label FROM predictions.tickets_v1 AS t LEFT JOIN core.sims_v1 AS s USING (iccid)
) AS t
WHERE status <> 'CLOSED' AND (%(category)s::text IS NULL OR category = %(category)s::text)
ORDER BY array_position(ARRAY['high', 'medium', 'low'], priority), opened_at, case_id
LIMIT %(rows)s
