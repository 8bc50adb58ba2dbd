-- What is known of SIMs beside their days, one row a SIM that was there by %(as_of)s (date), of the keys in %(sim_keys)s: activated_on,
-- device_type (first 8 digits of its IMEI then), peer_group (the first country it was seen in), label_group (what its label begins with),
-- asked_to (the last day that 1NCE was asked for; NULL: its usage does not come from 1NCE's call). Primary keys.
SELECT s.sim_key, (s.activated_at AT TIME ZONE 'UTC')::date AS activated_on,
       -- the list knows today's device: the first change after the day says which it was then
       left(coalesce(i.from_value, s.imei), 8) AS device_type, e.country AS peer_group,
       nullif((regexp_match(coalesce(s.own_label, s.label), '^(.+?)[-_. /:]'))[1], '') AS label_group,
       CASE WHEN p.sim_key IS NOT NULL THEN greatest(p.covered_to, u.day) END AS asked_to
FROM core.sims AS s
LEFT JOIN ops.polls AS p ON p.sim_key = s.sim_key AND p.source = 'usage'
LEFT JOIN LATERAL (
    SELECT from_value FROM core.sim_lifecycle
    WHERE sim_key = s.sim_key AND kind = 'imei_change' AND occurred_on > %(as_of)s
    ORDER BY occurred_on, entry_id LIMIT 1
) AS i ON true
LEFT JOIN LATERAL (
    SELECT country FROM own.sim_events
    WHERE sim_key = s.sim_key AND occurred_at < (%(as_of)s::date + 1)::timestamp AT TIME ZONE 'UTC' AND country IS NOT NULL
    ORDER BY occurred_at LIMIT 1
) AS e ON true
LEFT JOIN LATERAL (
    SELECT day FROM own.sim_usage WHERE sim_key = s.sim_key AND day <= %(as_of)s ORDER BY day DESC LIMIT 1
) AS u ON true
WHERE s.sim_key = ANY(%(sim_keys)s::integer[])
    AND least(s.first_seen_at, s.activated_at) < (%(as_of)s::date + 1)::timestamp AT TIME ZONE 'UTC'
ORDER BY s.sim_key;
