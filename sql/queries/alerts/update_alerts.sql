-- Built-in alerts as of a day: open what is new, keep what still holds, close what is over. Writes nothing where nothing changed. What a person
-- resolved is not opened again, unless louder, until it has not held for a day.
-- staged: sim_key integer, kind text, severity text, value double precision, threshold double precision, message text, scoring_id integer
WITH closed AS (
    UPDATE predictions.alerts AS a SET closed_as_of = %(as_of)s, closed_at = %(now)s
    WHERE a.closed_at IS NULL AND a.kind NOT IN ('rule', 'incident', 'anomaly')
        AND NOT EXISTS (SELECT FROM staged AS s WHERE s.sim_key = a.sim_key AND s.kind = a.kind)
    RETURNING 1
), kept AS (
    UPDATE predictions.alerts AS a SET
        severity = s.severity, value = s.value, threshold = s.threshold, message = s.message, scoring_id = s.scoring_id,
        seen_as_of = %(as_of)s
    FROM staged AS s
    WHERE a.closed_at IS NULL AND a.sim_key = s.sim_key AND a.kind = s.kind
        AND (a.severity, a.value, a.threshold, a.message, a.scoring_id, a.seen_as_of)
            IS DISTINCT FROM (s.severity, s.value, s.threshold, s.message, s.scoring_id, %(as_of)s)
    RETURNING 1
), resolved_by_hand AS (
    UPDATE predictions.alerts AS a SET seen_as_of = %(as_of)s
    FROM staged AS s
    WHERE a.closed_at = a.acted_at AND a.sim_key = s.sim_key AND a.kind = s.kind
        AND a.seen_as_of = %(as_of)s::date - 1
), opened AS (
    INSERT INTO predictions.alerts
        (organization_id, sim_key, kind, severity, value, threshold, message, opened_as_of, opened_at, seen_as_of, scoring_id)
    SELECT (SELECT ops.current_organization()), s.sim_key, s.kind, s.severity, s.value, s.threshold, s.message,
           %(as_of)s, %(now)s, %(as_of)s, s.scoring_id
    FROM staged AS s
    WHERE NOT EXISTS (
        SELECT FROM predictions.alerts AS a
        WHERE a.sim_key = s.sim_key AND a.kind = s.kind
            AND (a.closed_at IS NULL
                 OR (a.closed_at = a.acted_at AND a.seen_as_of >= %(as_of)s::date - 1
                     AND array_position(ARRAY['info', 'warning', 'critical'], a.severity)
                         >= array_position(ARRAY['info', 'warning', 'critical'], s.severity))))
    RETURNING 1
)
SELECT (SELECT count(*) FROM opened) AS opened, (SELECT count(*) FROM kept) AS updated,
       (SELECT count(*) FROM closed) AS closed, (SELECT count(*) FROM staged) AS holding;
