-- One row: whether a list was forgotten (done or unknown). Parameters: presented bytea; name text.
SELECT ops.drop_list(%(presented)s::bytea, %(name)s::text) AS outcome
