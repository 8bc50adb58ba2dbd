-- The places of SIMs in sorted lists, by what save_sim_summaries wrote; only rows that differ are written. Parameters: none. Index: sim_places_pkey.
UPDATE predictions.sim_places AS p
SET by_remaining = n.remaining, by_ends_on = n.ends_on, by_last_used = n.last_used
FROM (
    SELECT sim_key, coalesce(remaining, 'Infinity'::double precision) AS remaining,
           coalesce(ends_on - date '2000-01-01', 'Infinity'::double precision) AS ends_on,
           coalesce(last_used_on - date '2000-01-01', 'Infinity'::double precision) AS last_used
    FROM predictions.sim_summaries
) AS n
WHERE p.sim_key = n.sim_key AND (p.by_remaining, p.by_ends_on, p.by_last_used) IS DISTINCT FROM (n.remaining, n.ends_on, n.last_used)
