-- One row: how many alerts were closed by switching a rule on or off, or deleting it; NULL where there is none. Parameters: rule_id, enabled,
-- deleted, now.
SELECT predictions.switch_alert_rule((SELECT ops.current_organization()), %(rule_id)s, %(enabled)s, %(deleted)s, %(now)s) AS closed
