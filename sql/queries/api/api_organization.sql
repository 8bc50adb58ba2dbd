-- One row: the organization of a slug, which the rest of the transaction works for. Parameters: slug.
SELECT set_config('simsight.organization_id', coalesce(ops.organization(%(slug)s::text)::text, ''), true)
