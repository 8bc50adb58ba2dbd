-- The unsolved tickets opened up to %(as_of)s (date) that come first, at most %(top)s: by priority, then the oldest.
SELECT case_id, subject, category, confidence, priority, to_person, reasons, iccid, opened_at, status
FROM predictions.tickets_v1
WHERE status <> 'CLOSED' AND (opened_at IS NULL OR opened_at < %(as_of)s::date + 1)
ORDER BY array_position(ARRAY['high', 'medium', 'low'], priority), opened_at, case_id
LIMIT %(top)s;
