-- Acknowledge, snooze, resolve or reopen alerts, one row each that changed. Parameters: alert_ids, act, until, note, by, now.
SELECT alert_id FROM predictions.act_on_alerts(ops.current_organization(), %(alert_ids)s::bigint[], %(act)s::text, %(until)s::timestamptz,
                                               %(note)s::text, %(by)s::text, %(now)s::timestamptz) AS t (alert_id)
