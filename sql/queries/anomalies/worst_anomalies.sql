-- The worst anomalies of the day %(as_of)s, one a SIM, the loudest first, the first %(top)s; `total` is how many SIMs have one. Index anomalies_by_day.
SELECT sim_key, iccid, label, kind, severity, score, reasons, value, expected, unit, first_day, incident_id, count(*) OVER ()::integer AS total
FROM (
    SELECT DISTINCT ON (a.sim_key) a.sim_key, s.iccid, coalesce(s.own_label, s.label) AS label, a.kind, a.severity, a.score, a.reasons,
           a.value, a.expected, a.unit, a.first_day, a.incident_id
    FROM predictions.anomalies AS a JOIN core.sims AS s USING (sim_key)
    WHERE a.day = %(as_of)s AND NOT a.live
    ORDER BY a.sim_key, array_position(ARRAY['critical', 'warning', 'info'], a.severity), a.score DESC
) AS one
ORDER BY array_position(ARRAY['critical', 'warning', 'info'], severity), (incident_id IS NOT NULL), score DESC, iccid
LIMIT %(top)s;
