-- One row a column of each documented view that the session may read, in order: its view, its name and its type as SQL.
-- Only views that look with the eyes of who asks are documented ones: row-level security holds in them.
SELECT n.nspname::text AS schema, c.relname::text AS relation, a.attname::text AS name,
       format_type(a.atttypid, a.atttypmod) AS type
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname IN ('core', 'predictions') AND c.relkind = 'v' AND c.relname ~ '_v[0-9]+$'
  AND 'security_invoker=true' = ANY(c.reloptions) AND has_table_privilege(c.oid, 'SELECT')
ORDER BY n.nspname, regexp_replace(c.relname, '_v[0-9]+$', ''), substring(c.relname FROM '[0-9]+$')::integer, a.attnum
