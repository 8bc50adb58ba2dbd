-- Delete the escalation policy, quiet hours or maintenance window of a name; one row: how many there were.
WITH a AS (DELETE FROM ops.escalation_policies WHERE %(what)s = 'escalation' AND name = %(name)s RETURNING 1),
     b AS (DELETE FROM ops.quiet_hours WHERE %(what)s = 'quiet' AND name = %(name)s RETURNING 1),
     c AS (DELETE FROM ops.maintenance_windows WHERE %(what)s = 'maintenance' AND name = %(name)s RETURNING 1)
SELECT (SELECT count(*) FROM a) + (SELECT count(*) FROM b) + (SELECT count(*) FROM c) AS deleted;
