-- As dashboard_facets where nothing is chosen: each property is counted where it stands, without a join over all SIMs. Parameters: none.
WITH whole AS (SELECT count(*) AS sims, count(*) FILTER (WHERE status = 'Disabled') AS disabled, count(status) AS known FROM core.sims),
summed AS (
    SELECT CASE WHEN grouping(country) = 0 THEN 'country' WHEN grouping(operator) = 0 THEN 'operator' WHEN grouping(label_group) = 0 THEN 'label_group'
                WHEN grouping(risk_level) = 0 THEN 'risk_level' ELSE 'all' END AS property,
           coalesce(country, operator, label_group, risk_level) AS value, count(*) AS sims,
           count(*) FILTER (WHERE ends_on <= as_of) AS ends_0, count(*) FILTER (WHERE ends_on - as_of BETWEEN 1 AND 7) AS ends_7,
           count(*) FILTER (WHERE ends_on - as_of BETWEEN 1 AND 14) AS ends_14, count(*) FILTER (WHERE ends_on - as_of BETWEEN 1 AND 30) AS ends_30,
           max(as_of) AS as_of
    FROM predictions.sim_summaries
    GROUP BY GROUPING SETS ((country), (operator), (label_group), (risk_level), ())
), alerted AS (
    SELECT (ARRAY['critical', 'warning', 'info'])[worst] AS value, count(*) AS sims
    FROM (
        SELECT min(array_position(ARRAY['critical', 'warning', 'info'], severity)) AS worst
        FROM predictions.alerts WHERE closed_at IS NULL AND sim_key IS NOT NULL GROUP BY sim_key
    ) AS a
    GROUP BY worst
), found AS (
    SELECT property, value, sims FROM summed WHERE property <> 'all'
    UNION ALL
    SELECT 'state', state, count(*) FROM core.sim_states GROUP BY state
    UNION ALL
    SELECT 'status', 'Enabled', known - disabled FROM whole
    UNION ALL
    SELECT 'status', 'Disabled', disabled FROM whole
    UNION ALL
    SELECT 'alert', value, sims FROM alerted
    UNION ALL
    SELECT 'alert', 'none', (SELECT sims FROM whole) - coalesce((SELECT sum(sims) FROM alerted)::bigint, 0)
), missing AS (
    -- a SIM without a row, or without the value in it
    SELECT p.property, 'unknown' AS value, (SELECT sims FROM whole) - coalesce((
        SELECT sum(f.sims) FROM found AS f WHERE f.property = p.property AND f.value IS NOT NULL)::bigint, 0) AS sims
    FROM unnest(ARRAY['state', 'country', 'operator', 'label_group', 'risk_level']) AS p (property)
), counted AS (
    SELECT property, value, sims FROM found WHERE value IS NOT NULL AND sims > 0
    UNION ALL
    SELECT property, value, sims FROM missing WHERE sims > 0
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY property ORDER BY sims DESC, value) AS nth, count(*) OVER (PARTITION BY property) AS known FROM counted
)
SELECT property, value, sims, 0::bigint AS ends_0, 0::bigint AS ends_7, 0::bigint AS ends_14, 0::bigint AS ends_30, NULL::date AS as_of, known
FROM ranked WHERE nth <= 12
UNION ALL
SELECT 'all', '', w.sims, s.ends_0, s.ends_7, s.ends_14, s.ends_30, s.as_of, 1 FROM whole AS w CROSS JOIN summed AS s WHERE s.property = 'all'
ORDER BY property, sims DESC, value
