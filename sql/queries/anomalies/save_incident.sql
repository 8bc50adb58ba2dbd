-- An incident of the day %(last_day)s goes on, or begins; its key. It goes on where one of the same kinds, of the last three days, has
-- the same scope, or has half of the SIMs, or half of its own are among them: it grew. Index incidents_by_day.
WITH known AS (
    SELECT i.incident_id FROM predictions.incidents AS i
    WHERE i.last_day >= %(last_day)s::date - 3 AND i.first_day <= %(last_day)s::date + 3 AND i.kind = ANY(%(kinds)s)
      AND (i.scope = %(scope)s::jsonb OR 2 * (
          SELECT count(DISTINCT a.sim_key) FROM predictions.anomalies AS a
          WHERE a.incident_id = i.incident_id AND a.sim_key = ANY(%(sim_keys)s::integer[])
      ) >= least(i.sims, cardinality(%(sim_keys)s::integer[])))
    ORDER BY (i.scope = %(scope)s::jsonb) DESC, i.incident_id LIMIT 1
), goes_on AS (
    UPDATE predictions.incidents AS i
    SET kind = %(kind)s, title = %(title)s, scope = %(scope)s, severity = %(severity)s, model_version = %(model_version)s, updated_at = %(now)s
    FROM known AS k
    WHERE i.incident_id = k.incident_id AND i.last_day <= %(last_day)s
      AND (i.kind, i.title, i.scope, i.severity, i.model_version)
          IS DISTINCT FROM (%(kind)s, %(title)s, %(scope)s::jsonb, %(severity)s, %(model_version)s)
), begins AS (
    INSERT INTO predictions.incidents
        (organization_id, kind, title, scope, first_day, last_day, severity, sims, model_version, created_at, updated_at)
    SELECT (SELECT ops.current_organization()), %(kind)s, %(title)s, %(scope)s, %(last_day)s, %(last_day)s, %(severity)s,
           cardinality(%(sim_keys)s::integer[]), %(model_version)s, %(now)s, %(now)s
    WHERE NOT EXISTS (SELECT FROM known)
    RETURNING incident_id
)
SELECT incident_id FROM known UNION ALL SELECT incident_id FROM begins;
