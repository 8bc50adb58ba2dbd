-- One row a rule that is not deleted, by name; with the alerts it has open.
SELECT r.*, (SELECT count(*) FROM predictions.alerts AS a WHERE a.rule_id = r.rule_id AND a.closed_at IS NULL) AS open_alerts
FROM predictions.alert_rules_v1 AS r ORDER BY r.name
