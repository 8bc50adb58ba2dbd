-- Tables with rows and bytes. Rows are those of the last ANALYZE: counting all of a large table would take minutes.
SELECT n.nspname || '.' || c.relname AS name, greatest(c.reltuples, 0)::bigint AS rows,
    pg_total_relation_size(c.oid) AS bytes
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
ORDER BY bytes DESC, name;
