-- Incidents that were under way on %(as_of)s or in the week before, the largest first, the first %(top)s. Index incidents_by_day.
SELECT incident_id, kind, title, first_day, last_day, severity, sims, count(*) OVER ()::integer AS total
FROM predictions.incidents
WHERE last_day > %(as_of)s::date - 7 AND first_day <= %(as_of)s
ORDER BY array_position(ARRAY['critical', 'warning', 'info'], severity), sims DESC, incident_id LIMIT %(top)s;
