-- One row: alerts of at least a severity that are open, and neither acknowledged nor snoozed. Index alerts_open.
SELECT count(*) AS alerts FROM predictions.alerts
WHERE closed_at IS NULL AND state = 'open'
  AND array_position(ARRAY['info', 'warning', 'critical'], severity) >= array_position(ARRAY['info', 'warning', 'critical'], %(min_severity)s)
