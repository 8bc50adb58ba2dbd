-- One row: how many keys of that name were revoked. Parameters: who, name text.
SELECT ops.end_api_key_here(%(who)s::text, %(name)s::text) AS ended
