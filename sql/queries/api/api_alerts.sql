-- One row an alert after a given alert_id, oldest first.
-- Parameters: after bigint (0 for the first page), state text (open: not closed, also
-- acknowledged and snoozed ones; closed, all, or one of the other states), kind text or NULL for any,
-- severity text or NULL for any, rows integer.
-- Index: alerts_by_organization.
SELECT alert_id, iccid, label, kind, severity, value, threshold, message, opened_as_of, opened_at, seen_as_of,
       closed_as_of, closed_at, model_name, model_version, run_id,
       state, rule_id, rule, incident_id, snoozed_until, acted_by, acted_at, note
FROM predictions.alerts_v1
WHERE alert_id > %(after)s::bigint
  AND CASE %(state)s::text WHEN 'all' THEN true WHEN 'open' THEN closed_at IS NULL WHEN 'closed' THEN closed_at IS NOT NULL
      ELSE state = %(state)s::text END
  AND (%(kind)s::text IS NULL OR kind = %(kind)s::text)
  AND (%(severity)s::text IS NULL OR severity = %(severity)s::text)
ORDER BY alert_id
LIMIT %(rows)s
