-- One row a kind and severity of the anomalies of closed days from %(first)s to %(last)s: SIMs, and SIM-days. Of the SIMs with the keys %(sims)s;
-- NULL: all. Index anomalies_by_day.
SELECT kind, severity, count(DISTINCT sim_key) AS sims, count(*) AS sim_days
FROM predictions.anomalies
WHERE day BETWEEN %(first)s AND %(last)s AND NOT live AND (%(sims)s::integer[] IS NULL OR sim_key = ANY(%(sims)s::integer[]))
GROUP BY kind, severity ORDER BY array_position(ARRAY['critical', 'warning', 'info'], severity), sim_days DESC, kind;
