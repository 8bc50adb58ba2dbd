-- The anomalies of the day %(as_of)s are those staged: what else stands there is taken away, live ones too. Found again, they keep when
-- they were found first. Primary key and anomalies_by_day.
-- staged: sim_key integer, day date, kind text, score double precision, severity text, reasons text, value double precision, expected double precision, unit text, first_day date, incident_id bigint
WITH gone AS (
    DELETE FROM predictions.anomalies AS a WHERE a.day = %(as_of)s
        AND NOT EXISTS (SELECT FROM staged AS s WHERE (s.sim_key, s.day, s.kind) = (a.sim_key, a.day, a.kind))
    RETURNING 1
), written AS (
    INSERT INTO predictions.anomalies AS a
        (organization_id, sim_key, day, kind, score, severity, reasons, value, expected, unit, first_day, incident_id, model_version,
         as_of, detected_at, live)
    SELECT (SELECT ops.current_organization()), sim_key, day, kind, score, severity, reasons, value, expected, unit, first_day, incident_id,
           %(model_version)s, %(as_of)s, %(now)s, false
    FROM staged
    ON CONFLICT (sim_key, day, kind) DO UPDATE SET
        score = excluded.score, severity = excluded.severity, reasons = excluded.reasons, value = excluded.value,
        expected = excluded.expected, unit = excluded.unit, first_day = excluded.first_day, incident_id = excluded.incident_id,
        model_version = excluded.model_version, as_of = excluded.as_of, live = false
    WHERE (a.score, a.severity, a.reasons, a.value, a.expected, a.unit, a.first_day, a.incident_id, a.model_version, a.as_of, a.live)
        IS DISTINCT FROM (excluded.score, excluded.severity, excluded.reasons, excluded.value, excluded.expected, excluded.unit,
                          excluded.first_day, excluded.incident_id, excluded.model_version, excluded.as_of, false)
    RETURNING xmax = 0 AS is_new
)
SELECT (SELECT count(*) FROM written WHERE is_new) AS new, (SELECT count(*) FROM written WHERE NOT is_new) AS changed,
       (SELECT count(*) FROM staged) - (SELECT count(*) FROM written) AS unchanged, (SELECT count(*) FROM gone) AS gone;
