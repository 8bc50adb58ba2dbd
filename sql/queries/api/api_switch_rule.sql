-- One row: how many alerts were closed by switching a rule on or off, or deleting it; NULL where there is none or the key may not write.
-- Parameters: key_sha256, rule_id, enabled, deleted, now.
SELECT ops.switch_alert_rule(%(key_sha256)s::bytea, %(rule_id)s::integer, %(enabled)s::boolean, %(deleted)s::boolean, %(now)s::timestamptz) AS closed
