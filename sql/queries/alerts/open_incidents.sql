-- Incidents that last, oldest first. Index incidents_open.
SELECT kind, opened_at, message FROM ops.incidents WHERE closed_at IS NULL ORDER BY opened_at;
