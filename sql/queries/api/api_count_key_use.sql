-- Adds counted requests. Parameters, one element a count: days, keys (SHA-256), addresses, routes, failed, uses.
SELECT ops.count_key_use(%(days)s::date[], %(keys)s::bytea[], %(addresses)s::text[], %(routes)s::text[], %(failed)s::boolean[],
                         %(uses)s::bigint[])
