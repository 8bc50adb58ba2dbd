-- One row a column of each table and view of ours, in order, with the comments on both. `keyed`: its place in the primary
-- key; `refers`: the table whose key it holds; readers: the roles that may read any column of the table.
SELECT n.nspname::text AS schema, c.relname::text AS relation, c.relkind = 'v' AS is_view,
       obj_description(c.oid, 'pg_class') AS relation_comment,
       array(
           SELECT r.name FROM (VALUES ('simsight_pipeline', 1), ('simsight_api', 2), ('simsight_downstream', 3)) AS r (name, place)
           WHERE has_any_column_privilege(r.name, c.oid, 'SELECT') ORDER BY r.place
       ) AS readers,
       a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
       array_position(k.conkey, a.attnum) AS keyed,
       (
           SELECT min(f.confrelid::regclass::text) FROM pg_constraint AS f
           WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.conkey = ARRAY[a.attnum]
       ) AS refers,
       col_description(c.oid, a.attnum) AS comment
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_constraint AS k ON k.conrelid = c.oid AND k.contype = 'p'
WHERE n.nspname IN ('core', 'predictions', 'ops', 'raw') AND c.relkind IN ('r', 'p', 'v')
ORDER BY n.nspname::text COLLATE "C", c.relname::text COLLATE "C", a.attnum
