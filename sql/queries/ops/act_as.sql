-- Says who writes for the rest of the transaction, for the audit log. Parameters: by.
SELECT set_config('simsight.by', %(by)s::text, true)
