-- One row a chosen SIM after a given place, as dashboard_sims, SIMs without the value last. Parameters: sort text: ends_on, remaining or last_used (the
-- least first), used or alerts (the most first); place double precision and after text of the last row seen (-Infinity and '' for the first page);
-- rows integer; those of dashboard_chosen_sims. All chosen SIMs are looked at, each as few columns; the others are read for the page alone.
WITH placed AS MATERIALIZED (
    SELECT iccid, coalesce(CASE %(sort)s::text
        WHEN 'ends_on' THEN (ends_on - date '2000-01-01')::double precision
        WHEN 'remaining' THEN remaining::double precision
        WHEN 'last_used' THEN (last_used_on - date '2000-01-01')::double precision
        WHEN 'used' THEN -used_30::double precision
        WHEN 'alerts' THEN -(alerts + 1000000 * (4 - coalesce(worst, 4)))::double precision
    END, 'Infinity') AS place
    FROM (
{part}
    ) AS chosen
), page AS MATERIALIZED (
    SELECT iccid, place FROM placed
    WHERE (place, iccid) > (%(place)s::double precision, %(after)s::text)
    ORDER BY place, iccid LIMIT %(rows)s::integer
)
SELECT p.iccid, coalesce(s.own_label, s.label) AS label, coalesce(t.state, 'unknown') AS state, s.status, coalesce(m.country, 'unknown') AS country,
       coalesce(m.operator, 'unknown') AS operator, m.last_used_on, m.used_30, m.remaining, s.quota_total, m.ends_on, m.ends_on - m.as_of AS days_left,
       coalesce(m.risk_level, 'unknown') AS risk_level, a.alerts, coalesce((ARRAY['critical', 'warning', 'info'])[a.worst], 'none') AS alert,
       m.as_of, p.place
FROM page AS p
JOIN core.sims AS s USING (iccid)
LEFT JOIN core.sim_states AS t USING (sim_key)
LEFT JOIN predictions.sim_summaries AS m USING (sim_key)
CROSS JOIN LATERAL (
    SELECT count(*) AS alerts, min(array_position(ARRAY['critical', 'warning', 'info'], o.severity)) AS worst
    FROM predictions.alerts AS o WHERE o.sim_key = s.sim_key AND o.closed_at IS NULL
) AS a
ORDER BY p.place, p.iccid
