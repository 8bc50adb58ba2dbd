-- One row a chosen SIM after a given ICCID, in the order of ICCIDs. Parameters: after text ('' for the first page); rows integer; those of
-- dashboard_chosen_sims. Index: sims_organization_id_iccid_key.
SELECT iccid, label, coalesce(state, 'unknown') AS state, status, coalesce(country, 'unknown') AS country, coalesce(operator, 'unknown') AS operator,
       last_used_on, used_30, remaining, quota_total, ends_on, days_left, coalesce(risk_level, 'unknown') AS risk_level, alerts,
       coalesce((ARRAY['critical', 'warning', 'info'])[worst], 'none') AS alert, as_of, 0::double precision AS place
FROM (
{part}
) AS chosen
WHERE iccid > %(after)s::text
ORDER BY iccid
LIMIT %(rows)s::integer
