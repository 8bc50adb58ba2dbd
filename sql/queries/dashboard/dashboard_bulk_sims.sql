-- Chosen SIMs, one row each. Parameters: iccids text[] or NULL for all chosen SIMs, most integer; those of dashboard_chosen_sims.
SELECT chosen.iccid AS id FROM (
{part}
) AS chosen
WHERE %(iccids)s::text[] IS NULL OR chosen.iccid = ANY (%(iccids)s::text[])
ORDER BY chosen.iccid LIMIT %(most)s::integer
