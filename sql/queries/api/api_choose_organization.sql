-- The rest of the transaction works for an organization.
SELECT set_config('simsight.organization_id', %(organization)s::integer::text, true)
