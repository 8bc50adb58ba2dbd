-- Notes the id of the request that writes next on this connection, for the audit log. Parameters: request_id.
SELECT set_config('simsight.request', %(request_id)s::text, false) AS noted
