-- Write a maintenance window, in the place of one of that name.
INSERT INTO ops.maintenance_windows (organization_id, name, scope, starts_at, ends_at, created_by)
VALUES ((SELECT ops.current_organization()), %(name)s, %(scope)s::jsonb, %(starts_at)s, %(ends_at)s, %(by)s)
ON CONFLICT (organization_id, name) DO UPDATE SET
    scope = excluded.scope, starts_at = excluded.starts_at, ends_at = excluded.ends_at, created_by = excluded.created_by
RETURNING window_id;
