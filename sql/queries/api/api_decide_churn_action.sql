-- One row: done, read-only (the key may not write) or unknown. Parameters: key_sha256, iccid, decision, reason, by, now.
SELECT ops.decide_churn_action(%(key_sha256)s::bytea, %(iccid)s::text, %(decision)s::text, %(reason)s::text, %(by)s::text,
                               %(now)s::timestamptz) AS outcome
