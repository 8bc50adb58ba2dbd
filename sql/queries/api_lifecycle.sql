-- One row a thing that happened in the life of a SIM after a given lifecycle_id, oldest first.
-- Parameters: iccid text, after bigint (0 for the first page), rows integer. Index: sim_lifecycle_sim_key_kind_occurred_on_to_value_key.
SELECT lifecycle_id, kind, occurred_on, from_value, to_value, evidence, decided_by, decided_at
FROM core.sim_lifecycle_v1
WHERE iccid = %(iccid)s::text AND lifecycle_id > %(after)s::bigint
ORDER BY lifecycle_id
LIMIT %(rows)s
