-- One row: whether a list was kept (done, full or unknown). Parameters: presented bytea; name, query text; now timestamptz.
SELECT ops.save_list(%(presented)s::bytea, %(name)s::text, %(query)s::text, %(now)s::timestamptz) AS outcome
