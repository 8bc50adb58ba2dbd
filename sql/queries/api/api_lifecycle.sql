-- One row an entry in the life of a SIM, newest last, after a given day and entry.
-- Parameters: iccid text, day date and entry bigint of the last row seen, rows integer. Index: sim_lifecycle_pkey.
SELECT entry_id, occurred_on, kind, from_value, to_value, evidence, as_of, decided_by, decided_at
FROM core.sim_lifecycle_v1
WHERE iccid = %(iccid)s::text AND (occurred_on, entry_id) > (%(day)s::date, %(entry)s::bigint)
ORDER BY occurred_on, entry_id
LIMIT %(rows)s
