-- One row an alert that is not closed: the most severe first, then the newest. Parameters: iccid, kind and severity text or NULL for any, state
-- text or NULL for any; the last row seen as rank smallint and alert_id bigint (0 and NULL for the first page); rows integer.
SELECT alert_id, iccid, label, kind, severity, message, opened_as_of, seen_as_of, state, rule, incident_id, snoozed_until, acted_by, acted_at, note, rank
FROM (
    SELECT *, array_position(ARRAY['critical', 'warning', 'info'], severity) AS rank FROM predictions.alerts_v1 WHERE closed_at IS NULL
) AS a
WHERE (%(iccid)s::text IS NULL OR iccid = %(iccid)s::text)
  AND (%(kind)s::text IS NULL OR kind = %(kind)s::text)
  AND (%(severity)s::text IS NULL OR severity = %(severity)s::text)
  AND (%(state)s::text IS NULL OR state = %(state)s::text)
  AND (rank > %(rank)s::integer OR (rank = %(rank)s::integer AND alert_id < %(alert_id)s::bigint))
ORDER BY rank, alert_id DESC
LIMIT %(rows)s
