-- The open alerts of chosen SIMs, one row each. Parameters: iccids text[] or NULL for all chosen SIMs, most integer; those of dashboard_chosen_sims.
SELECT a.alert_id AS id FROM (
{part}
) AS chosen
JOIN predictions.alerts AS a USING (sim_key)
WHERE a.closed_at IS NULL AND (%(iccids)s::text[] IS NULL OR chosen.iccid = ANY (%(iccids)s::text[]))
ORDER BY a.alert_id LIMIT %(most)s::integer
