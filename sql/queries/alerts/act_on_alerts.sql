-- Acknowledge, snooze, resolve or reopen alerts, one row each that changed. Parameters: alert_ids, act, until, note, by, now,
-- takes_over (false: the same act again keeps the person).
SELECT alert_id FROM predictions.act_on_alerts((SELECT ops.current_organization()), %(alert_ids)s::bigint[], %(act)s::text, %(until)s::timestamptz,
                                               %(note)s::text, %(by)s::text, %(now)s::timestamptz, %(takes_over)s::boolean) AS t (alert_id)
