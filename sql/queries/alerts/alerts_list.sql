-- Alerts, the loudest and newest first, the first %(rows)s; and on each row how many there are, and how many are acknowledged and snoozed.
-- Parameters: state text (open: not closed, also acknowledged and snoozed ones; one of the other states; all), kind or NULL, severity or NULL, rows.
SELECT alert_id, state, severity, kind, rule, iccid, label, message, opened_as_of, opened_at, seen_as_of, closed_at, snoozed_until, acted_by,
       acted_at, note, count(*) OVER () AS of, count(*) FILTER (WHERE state = 'acknowledged') OVER () AS acknowledged,
       count(*) FILTER (WHERE state = 'snoozed') OVER () AS snoozed
FROM predictions.alerts_v1
WHERE CASE %(state)s::text WHEN 'all' THEN true WHEN 'open' THEN closed_at IS NULL ELSE state = %(state)s::text END
  AND (%(kind)s::text IS NULL OR kind = %(kind)s::text)
  AND (%(severity)s::text IS NULL OR severity = %(severity)s::text)
ORDER BY array_position(ARRAY['critical', 'warning', 'info'], severity), alert_id DESC
LIMIT %(rows)s
