-- One row a view that free SQL may read: its columns.
-- Parameters: views text[], with their schemas.
SELECT v.name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
FROM unnest(%(views)s::text[]) AS v (name)
JOIN pg_attribute AS a ON a.attrelid = to_regclass(v.name) AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY v.name
