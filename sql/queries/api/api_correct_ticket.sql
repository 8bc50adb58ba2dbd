-- One row: done, read-only (the key may not write) or unknown. Parameters: key_sha256, case_id, category, note, by, now.
SELECT ops.correct_ticket(%(key_sha256)s::bytea, %(case_id)s::text, %(category)s::text, %(note)s::text, %(by)s::text,
                          %(now)s::timestamptz) AS outcome
