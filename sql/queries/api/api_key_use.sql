-- Use of keys, the newest first. Parameters: first, last (UTC days), key (its name), before (key_use_id), each or NULL; rows.
SELECT * FROM ops.key_uses(%(first)s::date, %(last)s::date, %(key)s::text, %(before)s::bigint, %(rows)s::integer)
