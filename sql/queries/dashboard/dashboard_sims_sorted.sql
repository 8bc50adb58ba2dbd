-- One row a chosen SIM after a given place, as dashboard_sims, SIMs without the value last. Parameters: sort text: ends_on, remaining or last_used (the
-- least first), used or alerts (the most first); place double precision and after text of the last row seen (-Infinity and '' for the first page);
-- rows integer; those of dashboard_chosen_sims. All chosen SIMs are looked at, each one small row.
SELECT iccid, label, state, status, country, operator, last_used_on, used_30, remaining, quota_total, ends_on, days_left, risk_level, alerts,
       alert, as_of, place
FROM (
    SELECT *, coalesce(CASE %(sort)s::text
        WHEN 'ends_on' THEN (ends_on - date '2000-01-01')::double precision
        WHEN 'remaining' THEN remaining::double precision
        WHEN 'last_used' THEN (last_used_on - date '2000-01-01')::double precision
        WHEN 'used' THEN -used_30::double precision
        WHEN 'alerts' THEN -(alerts + 1000000 * (4 - array_position(ARRAY['critical', 'warning', 'info', 'none'], alert)))::double precision
    END, 'Infinity') AS place
    FROM (
{part}
    ) AS chosen
) AS placed
WHERE (place, iccid) > (%(place)s::double precision, %(after)s::text)
ORDER BY place, iccid
LIMIT %(rows)s::integer
