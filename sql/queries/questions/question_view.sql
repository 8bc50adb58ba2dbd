-- One row: whether a view is there.
-- Parameters: view text.
SELECT to_regclass(%(view)s::text) IS NOT NULL AS there
