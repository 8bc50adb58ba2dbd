-- One row a ticket after a given case_id, in the order of case_ids.
-- Parameters: after text ('' for the first page); category, priority, status, iccid text, to_person boolean, or NULL for any; rows integer.
-- Index: the primary key of core.tickets.
SELECT case_id, subject, status, opened_at, solved_at, category, confidence, priority, to_person, reasons, iccid, decided_by, corrected_by,
       model_name, model_version, run_id, as_of, classified_at
FROM predictions.tickets_v1
WHERE case_id > %(after)s::text
  AND (%(category)s::text IS NULL OR category = %(category)s::text)
  AND (%(priority)s::text IS NULL OR priority = %(priority)s::text)
  AND (%(status)s::text IS NULL OR status = %(status)s::text)
  AND (%(iccid)s::text IS NULL OR iccid = %(iccid)s::text)
  AND (%(to_person)s::boolean IS NULL OR to_person = %(to_person)s::boolean)
ORDER BY case_id
LIMIT %(rows)s
