-- Takes a setting of its own from the organization %(name)s. No row: it had none.
DELETE FROM ops.organization_settings AS s USING core.organizations AS o
WHERE o.organization_id = s.organization_id AND o.slug = %(name)s AND s.name = %(setting)s RETURNING s.name;
