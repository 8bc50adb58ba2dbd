-- One row a kind, severity and state: alerts that are not closed. Parameters: none. Index: alerts_open.
SELECT kind, severity, state, count(*) AS alerts FROM predictions.alerts_v1 WHERE closed_at IS NULL GROUP BY kind, severity, state
