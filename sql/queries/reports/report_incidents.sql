-- Incidents that were under way on %(as_of)s or in the %(days)s days up to it, the largest first, the first %(top)s. Index incidents_by_day.
-- Of those with anomalies of the SIMs with the keys %(sims)s; NULL: all.
SELECT incident_id, kind, title, first_day, last_day, severity, sims, count(*) OVER ()::integer AS total
FROM predictions.incidents AS i
WHERE last_day > %(as_of)s::date - %(days)s::integer AND first_day <= %(as_of)s
    AND (%(sims)s::integer[] IS NULL OR EXISTS (
        SELECT FROM predictions.anomalies AS a WHERE a.incident_id = i.incident_id AND a.sim_key = ANY(%(sims)s::integer[])))
ORDER BY array_position(ARRAY['critical', 'warning', 'info'], severity), sims DESC, incident_id LIMIT %(top)s;
