-- One row: the key of the new rule; NULL where its name is taken or the key may not write. Parameters: key_sha256, rule jsonb, now.
SELECT ops.add_alert_rule(%(key_sha256)s::bytea, %(rule)s::jsonb, %(now)s::timestamptz) AS rule_id
