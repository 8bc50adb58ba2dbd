-- One row: alerts of at least a severity that were opened and resolved since %(since)s.
SELECT count(*) FILTER (WHERE opened_at > %(since)s) AS opened, count(*) FILTER (WHERE closed_at > %(since)s) AS resolved
FROM predictions.alerts
WHERE (closed_at IS NULL OR closed_at > %(since)s)
  AND array_position(ARRAY['info', 'warning', 'critical'], severity) >= array_position(ARRAY['info', 'warning', 'critical'], %(min_severity)s)
