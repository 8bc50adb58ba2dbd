-- What SIMs have in common, one row a SIM: type of the device (first 8 digits of its IMEI), what its label begins with, where it was last
-- seen up to %(as_of)s, and its batch: the month of its activation; of all SIMs, or of the keys in %(sim_keys)s. Primary keys, read from
-- their newest end.
SELECT s.sim_key, coalesce(s.own_label, s.label) AS label, left(s.imei, 8) AS device_type,
       nullif((regexp_match(coalesce(s.own_label, s.label), '^(.+?)[-_. /:]'))[1], '') AS label_prefix,
       c.country, c.operator, to_char(s.activated_at AT TIME ZONE 'UTC', 'YYYY-MM') AS batch
FROM core.sims AS s
LEFT JOIN LATERAL (
    SELECT country, operator FROM own.sim_events
    WHERE sim_key = s.sim_key AND occurred_at < (%(as_of)s::date + 1)::timestamp AT TIME ZONE 'UTC' AND country IS NOT NULL
    ORDER BY occurred_at DESC LIMIT 1
) AS c ON true
WHERE %(sim_keys)s::integer[] IS NULL OR s.sim_key = ANY(%(sim_keys)s::integer[])
ORDER BY s.sim_key;
