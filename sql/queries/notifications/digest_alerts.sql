-- Open alerts of at least a severity, the loudest and newest first, the first %(rows)s; on each row how many are open, were opened and were resolved
-- since %(since)s. No row: nothing is open.
SELECT a.alert_id, a.iccid, a.label, a.kind, a.rule, a.incident_id, a.severity, a.state, a.value, a.threshold, a.message, a.opened_as_of,
       a.opened_at, a.closed_at, count(*) OVER () AS of
FROM predictions.alerts_v1 AS a
WHERE a.closed_at IS NULL
  AND array_position(ARRAY['info', 'warning', 'critical'], a.severity) >= array_position(ARRAY['info', 'warning', 'critical'], %(min_severity)s)
ORDER BY array_position(ARRAY['critical', 'warning', 'info'], a.severity), a.alert_id DESC
LIMIT %(rows)s
