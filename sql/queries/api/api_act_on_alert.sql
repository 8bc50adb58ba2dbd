-- One row: done, read-only (the key may not write), closed or unknown. Parameters: key_sha256, alert_id, act, until, note, by, now.
SELECT ops.act_on_alert(%(key_sha256)s::bytea, %(alert_id)s::bigint, %(act)s::text, %(until)s::timestamptz, %(note)s::text, %(by)s::text,
                        %(now)s::timestamptz) AS outcome
