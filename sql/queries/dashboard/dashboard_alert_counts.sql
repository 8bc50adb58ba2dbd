-- One row a kind and severity: alerts that are not closed. Parameters: none.
SELECT kind, severity, count(*) AS alerts FROM predictions.alerts_v1 WHERE closed_at IS NULL GROUP BY kind, severity
