-- The rest of the transaction works for the organization whose secret it is.
SELECT set_config('simsight.organization', %(secret)s::text, true)
