-- One row an incident after a given incident_id, oldest first.
-- Parameters: after bigint (0 for the first page), since date or NULL (only those whose last day is not before it), rows integer. Primary key.
SELECT incident_id, kind, title, scope, first_day, last_day, severity, sims, model_version, created_at, updated_at
FROM predictions.incidents_v1
WHERE incident_id > %(after)s::bigint AND (%(since)s::date IS NULL OR last_day >= %(since)s::date)
ORDER BY incident_id
LIMIT %(rows)s
