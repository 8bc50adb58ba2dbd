-- Anomalies of the days under way since %(first)s whose SIM was in an incident of the same family of kinds within three days before belong to that
-- incident: it goes on. %(kinds)s and %(families)s text[]: the family of each kind. anomalies_by_day and primary key.
WITH families AS (
    SELECT * FROM unnest(%(kinds)s::text[], %(families)s::text[]) AS f (kind, family)
), alone AS (
    SELECT a.sim_key, a.day, a.kind, f.family FROM predictions.anomalies AS a JOIN families AS f USING (kind)
    WHERE a.live AND a.day >= %(first)s AND a.incident_id IS NULL
), goes_on AS (
    SELECT DISTINCT ON (l.sim_key, l.day, l.kind) l.sim_key, l.day, l.kind, a.incident_id
    FROM alone AS l
    JOIN predictions.anomalies AS a ON a.sim_key = l.sim_key AND a.day BETWEEN l.day - 3 AND l.day AND a.incident_id IS NOT NULL
    JOIN families AS f ON f.kind = a.kind AND f.family = l.family
    ORDER BY l.sim_key, l.day, l.kind, a.day DESC, a.incident_id
)
UPDATE predictions.anomalies AS a SET incident_id = g.incident_id
FROM goes_on AS g WHERE (a.sim_key, a.day, a.kind) = (g.sim_key, g.day, g.kind);
