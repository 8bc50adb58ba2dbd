-- Incidents of the days around %(as_of)s say what their members say: first and last day, and how many SIMs. One without members is no more.
-- Index anomalies_by_incident.
WITH looked_at AS (
    SELECT incident_id FROM predictions.incidents
    WHERE last_day >= %(as_of)s::date - 4 AND first_day <= %(as_of)s::date + 4
), members AS (
    SELECT l.incident_id, min(a.first_day) AS first_day, max(a.day) AS last_day, count(DISTINCT a.sim_key)::integer AS sims
    FROM looked_at AS l LEFT JOIN predictions.anomalies AS a USING (incident_id) GROUP BY l.incident_id
), none AS (
    DELETE FROM predictions.incidents AS i USING members AS m WHERE m.incident_id = i.incident_id AND m.sims = 0
)
UPDATE predictions.incidents AS i SET first_day = m.first_day, last_day = m.last_day, sims = m.sims, updated_at = %(now)s
FROM members AS m
WHERE m.incident_id = i.incident_id AND m.sims > 0 AND (i.first_day, i.last_day, i.sims) IS DISTINCT FROM (m.first_day, m.last_day, m.sims);
