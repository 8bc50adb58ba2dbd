-- A value waits for later steps of its run; the same again replaces it.
INSERT INTO ops.staged_values (organization_id, work_id, name, part, content, staged_at)
VALUES ((SELECT ops.current_organization()), %(work_id)s, %(name)s, %(part)s, %(content)b, %(now)s)
ON CONFLICT (organization_id, work_id, name) DO UPDATE SET content = excluded.content, staged_at = excluded.staged_at;
