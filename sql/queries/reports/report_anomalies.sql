-- The worst anomaly of each SIM on the closed days from %(first)s to %(last)s, the loudest first, at most %(top)s; total: how many SIMs have one. Of
-- the SIMs with the keys %(sims)s; NULL: all. Index anomalies_by_day.
SELECT s.iccid, coalesce(s.own_label, s.label) AS label, a.day, a.kind, a.severity, a.reasons, count(*) OVER () AS total
FROM (
    SELECT DISTINCT ON (sim_key) sim_key, day, kind, severity, score, reasons FROM predictions.anomalies
    WHERE day BETWEEN %(first)s AND %(last)s AND NOT live AND (%(sims)s::integer[] IS NULL OR sim_key = ANY(%(sims)s::integer[]))
    ORDER BY sim_key, array_position(ARRAY['critical', 'warning', 'info'], severity), score DESC, day DESC
) AS a JOIN core.sims AS s USING (sim_key)
ORDER BY array_position(ARRAY['critical', 'warning', 'info'], a.severity), a.score DESC, s.iccid LIMIT %(top)s;
