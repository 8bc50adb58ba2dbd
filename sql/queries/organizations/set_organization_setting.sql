-- Gives the organization %(name)s a setting of its own. No row: there is none of the name.
INSERT INTO ops.organization_settings AS s (organization_id, name, value, changed_by)
SELECT organization_id, %(setting)s, %(value)s, %(by)s FROM core.organizations WHERE slug = %(name)s
ON CONFLICT (organization_id, name) DO UPDATE SET value = excluded.value, changed_by = excluded.changed_by, changed_at = now()
RETURNING s.name;
