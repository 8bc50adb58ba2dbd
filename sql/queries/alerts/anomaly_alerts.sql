-- Anomalies as of %(as_of)s and of the days under way that no incident explains: one alert a SIM, kept until it has had none for three days,
-- or, of a new level, which is flagged once, for eight.
-- Mere information and silence (an alert of its own kind) open none. One whose anomaly has come to belong to an incident is closed and says
-- so. anomalies_by_day.
WITH current AS MATERIALIZED (
    SELECT DISTINCT ON (sim_key) sim_key, severity, score, reasons, day
    FROM predictions.anomalies
    WHERE day > %(as_of)s::date - 8 AND (day > %(as_of)s::date - 3 OR kind IN ('drift', 'runaway'))
      AND incident_id IS NULL AND severity <> 'info' AND kind NOT IN ('silence', 'dead')
    ORDER BY sim_key, day DESC, score DESC
), closed AS (
    UPDATE predictions.alerts AS a SET closed_as_of = %(as_of)s, closed_at = %(now)s, message = coalesce((
        SELECT format('Part of the incident "%%s" now. Alone it was: %%s', i.title, a.message)
        FROM predictions.anomalies AS m JOIN predictions.incidents AS i USING (incident_id)
        WHERE m.sim_key = a.sim_key AND m.day > %(as_of)s::date - 3 ORDER BY m.day DESC, m.score DESC LIMIT 1), a.message)
    WHERE a.kind = 'anomaly' AND a.closed_at IS NULL AND NOT EXISTS (SELECT FROM current AS c WHERE c.sim_key = a.sim_key)
    RETURNING 1
), kept AS (
    UPDATE predictions.alerts AS a SET severity = c.severity, value = c.score, message = c.reasons, seen_as_of = greatest(a.seen_as_of, c.day)
    FROM current AS c
    WHERE a.kind = 'anomaly' AND a.closed_at IS NULL AND a.sim_key = c.sim_key
        AND (a.severity, a.value, a.message, a.seen_as_of) IS DISTINCT FROM (c.severity, c.score, c.reasons, greatest(a.seen_as_of, c.day))
    RETURNING 1
), opened AS (
    INSERT INTO predictions.alerts (organization_id, sim_key, kind, severity, value, message, opened_as_of, opened_at, seen_as_of)
    SELECT (SELECT ops.current_organization()), c.sim_key, 'anomaly', c.severity, c.score, c.reasons, %(as_of)s, %(now)s, c.day
    FROM current AS c
    WHERE NOT EXISTS (
        SELECT FROM predictions.alerts AS a
        WHERE a.kind = 'anomaly' AND a.sim_key = c.sim_key AND (a.closed_at IS NULL OR a.seen_as_of >= c.day))
    RETURNING 1
)
SELECT (SELECT count(*) FROM opened) AS opened, (SELECT count(*) FROM kept) AS updated, (SELECT count(*) FROM closed) AS closed;
