-- The own settings of the organization %(name)s, as the owner of the tables sees them.
SELECT s.name, s.value, s.changed_at, s.changed_by
FROM ops.organization_settings AS s JOIN core.organizations AS o USING (organization_id) WHERE o.slug = %(name)s ORDER BY s.name;
