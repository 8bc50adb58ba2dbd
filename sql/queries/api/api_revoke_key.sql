-- One row: done, unknown or not-admin. Parameters: presented bytea, name text.
SELECT ops.end_api_key_by(%(presented)s::bytea, %(name)s::text) AS outcome
