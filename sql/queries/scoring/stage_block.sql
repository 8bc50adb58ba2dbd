-- A scored block waits for the others of its as-of day; the same block again replaces it.
INSERT INTO ops.staged_blocks (organization_id, work_id, part, as_of, block, rows, content, staged_at)
VALUES ((SELECT ops.current_organization()), %(work_id)s, %(part)s, %(as_of)s, %(block)s, %(rows)s, %(content)b, %(now)s)
ON CONFLICT (organization_id, work_id, part, as_of, block) DO UPDATE SET
    rows = excluded.rows, content = excluded.content, staged_at = excluded.staged_at;
