-- One ticket. Parameter: case_id text.
SELECT case_id, subject, status, opened_at, solved_at, category, confidence, priority, to_person, reasons, iccid, decided_by, corrected_by,
       model_name, model_version, run_id, as_of, classified_at
FROM predictions.tickets_v1
WHERE case_id = %(case_id)s::text
