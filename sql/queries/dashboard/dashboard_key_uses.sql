-- One row a key that was used since a day: the last day of use and how many requests. Parameter: first date.
SELECT key_id, max(day) AS last_day, sum(uses)::bigint AS uses
FROM ops.key_uses(%(first)s::date, NULL, NULL, NULL, 1000000)
WHERE NOT failed GROUP BY key_id
