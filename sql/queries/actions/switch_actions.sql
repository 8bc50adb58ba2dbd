-- Sets the kill switch or lets it go. Parameters: stopped boolean, by, now.
INSERT INTO ops.action_switches (organization_id, stopped, changed_by, changed_at)
VALUES ((SELECT ops.current_organization()), %(stopped)s::boolean, %(by)s::text, %(now)s::timestamptz)
ON CONFLICT (organization_id) DO UPDATE
SET stopped = excluded.stopped, changed_by = excluded.changed_by, changed_at = excluded.changed_at
