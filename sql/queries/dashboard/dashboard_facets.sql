-- One row a value of each property of the chosen SIMs: how many have it, the commonest 12 of each; property 'all' has their number, and ends_0 how many
-- have ended, ends_7, ends_14 and ends_30 how many end within these days. One pass over them. Parameters: those of dashboard_chosen_sims.
WITH alike AS (
    SELECT state, status, country, operator, label_group, risk_level, worst, max(as_of) AS as_of, count(*) AS sims,
           count(*) FILTER (WHERE days_left <= 0) AS ends_0, count(*) FILTER (WHERE days_left BETWEEN 1 AND 7) AS ends_7,
           count(*) FILTER (WHERE days_left BETWEEN 1 AND 14) AS ends_14, count(*) FILTER (WHERE days_left BETWEEN 1 AND 30) AS ends_30
    FROM (
{part}
    ) AS chosen
    GROUP BY state, status, country, operator, label_group, risk_level, worst
), named AS (
    SELECT coalesce(state, 'unknown') AS state, status, coalesce(country, 'unknown') AS country, coalesce(operator, 'unknown') AS operator,
           coalesce(label_group, 'unknown') AS label_group, coalesce(risk_level, 'unknown') AS risk_level,
           coalesce((ARRAY['critical', 'warning', 'info'])[worst], 'none') AS alert, as_of, sims, ends_0, ends_7, ends_14, ends_30
    FROM alike
), counted AS (
    SELECT CASE WHEN grouping(state) = 0 THEN 'state' WHEN grouping(status) = 0 THEN 'status' WHEN grouping(country) = 0 THEN 'country'
                WHEN grouping(operator) = 0 THEN 'operator' WHEN grouping(label_group) = 0 THEN 'label_group'
                WHEN grouping(risk_level) = 0 THEN 'risk_level' WHEN grouping(alert) = 0 THEN 'alert' ELSE 'all' END AS property,
           coalesce(state, status, country, operator, label_group, risk_level, alert, '') AS value, sum(sims)::bigint AS sims,
           sum(ends_0)::bigint AS ends_0, sum(ends_7)::bigint AS ends_7, sum(ends_14)::bigint AS ends_14, sum(ends_30)::bigint AS ends_30,
           max(as_of) AS as_of
    FROM named
    GROUP BY GROUPING SETS ((state), (status), (country), (operator), (label_group), (risk_level), (alert), ())
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY property ORDER BY sims DESC, value) AS nth, count(*) OVER (PARTITION BY property) AS known FROM counted
)
SELECT property, value, coalesce(sims, 0) AS sims, coalesce(ends_0, 0) AS ends_0, coalesce(ends_7, 0) AS ends_7, coalesce(ends_14, 0) AS ends_14,
       coalesce(ends_30, 0) AS ends_30, as_of, known
FROM ranked WHERE nth <= 12 ORDER BY property, nth
