-- One row: done, read-only (the key may not write) or unknown. Parameters: key_sha256, recommendation_id, decision, reason, by, now.
SELECT ops.decide_recommendation(%(key_sha256)s::bytea, %(recommendation_id)s::bigint, %(decision)s::text, %(reason)s::text,
                                 %(by)s::text, %(now)s::timestamptz) AS outcome
