-- Incidents as of %(as_of)s: one alert each, opened when it has an anomaly in the last two days, kept, and closed when it has had none for three.
-- One of silence stays open while a SIM of it has an open alert for its silence: that is told no more, and not over. anomalies_by_incident.
WITH current AS MATERIALIZED (
    SELECT incident_id, severity, title, sims, last_day FROM predictions.incidents AS i
    WHERE last_day > %(as_of)s::date - 3
       OR (kind IN ('silence', 'dead')
           AND EXISTS (SELECT FROM predictions.alerts AS a WHERE a.kind = 'incident' AND a.incident_id = i.incident_id AND a.closed_at IS NULL)
           AND EXISTS (SELECT FROM predictions.anomalies AS m JOIN predictions.alerts AS a USING (sim_key)
                       WHERE m.incident_id = i.incident_id AND a.kind = 'silent' AND a.closed_at IS NULL))
), closed AS (
    UPDATE predictions.alerts AS a SET closed_as_of = %(as_of)s, closed_at = %(now)s
    WHERE a.kind = 'incident' AND a.closed_at IS NULL AND NOT EXISTS (SELECT FROM current AS c WHERE c.incident_id = a.incident_id)
    RETURNING 1
), kept AS (
    UPDATE predictions.alerts AS a SET severity = c.severity, value = c.sims, message = c.title, seen_as_of = greatest(a.seen_as_of, c.last_day)
    FROM current AS c
    WHERE a.incident_id = c.incident_id AND a.closed_at IS NULL
        AND (a.severity, a.value, a.message, a.seen_as_of) IS DISTINCT FROM (c.severity, c.sims, c.title, greatest(a.seen_as_of, c.last_day))
    RETURNING 1
), opened AS (
    INSERT INTO predictions.alerts (organization_id, kind, severity, value, message, opened_as_of, opened_at, seen_as_of, incident_id)
    SELECT (SELECT ops.current_organization()), 'incident', c.severity, c.sims, c.title, %(as_of)s, %(now)s, c.last_day, c.incident_id
    FROM current AS c
    WHERE NOT EXISTS (
        SELECT FROM predictions.alerts AS a
        WHERE a.incident_id = c.incident_id AND (a.closed_at IS NULL OR a.seen_as_of >= c.last_day))
    RETURNING 1
)
SELECT (SELECT count(*) FROM opened) AS opened, (SELECT count(*) FROM kept) AS updated, (SELECT count(*) FROM closed) AS closed;
