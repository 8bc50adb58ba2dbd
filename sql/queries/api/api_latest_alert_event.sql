-- One row: the last event in the life of alerts, 0 without one. Index alert_history_by_organization.
SELECT coalesce(max(history_id), 0) AS id FROM predictions.alert_history
