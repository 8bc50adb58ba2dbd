-- Gives a ticket its right category; its number. No row, and nothing written, when the ticket is not known.
INSERT INTO predictions.ticket_corrections (organization_id, case_id, category, note, said_by, said_at)
SELECT organization_id, case_id, %(category)s, %(note)s, %(by)s, %(now)s FROM core.tickets WHERE case_id = %(case_id)s
RETURNING correction_id;
