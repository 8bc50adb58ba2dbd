-- One row: the keys of the SIMs whose label begins with %(label)s (NULL: any) and that were last seen in %(country)s up to %(as_of)s (NULL:
-- anywhere), as report_places counts them. Indexes: primary keys.
SELECT coalesce(array_agg(s.sim_key ORDER BY s.sim_key), '{}') AS sims
FROM core.sims AS s
LEFT JOIN LATERAL (
    SELECT country FROM core.sim_events
    WHERE %(country)s::text IS NOT NULL AND sim_key = s.sim_key AND country IS NOT NULL
        AND occurred_at < (%(as_of)s::date + 1)::timestamp AT TIME ZONE 'UTC'
    ORDER BY occurred_at DESC LIMIT 1
) AS e ON true
LEFT JOIN LATERAL (
    SELECT country FROM core.sim_connectivity
    WHERE %(country)s::text IS NOT NULL AND e.country IS NULL AND sim_key = s.sim_key AND day <= %(as_of)s AND country IS NOT NULL
    ORDER BY day DESC LIMIT 1
) AS c ON true
WHERE (%(label)s::text IS NULL OR starts_with(coalesce(s.own_label, s.label), %(label)s::text))
    AND (%(country)s::text IS NULL OR coalesce(e.country, c.country) = %(country)s::text);
