-- Open alerts by kind and severity.
SELECT kind, severity, count(*) AS alerts FROM predictions.alerts WHERE closed_at IS NULL
GROUP BY kind, severity ORDER BY kind, severity;
