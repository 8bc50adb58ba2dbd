-- One row: SIMs with an alert that became critical after event %(after)s, was within a day and lasts, whose usage answer is older than ten minutes,
-- at most %(rows)s; and the last event looked at. Index alert_history_by_organization.
WITH news AS (
    SELECT h.history_id, h.alert_id, h.at FROM predictions.alert_history AS h
    WHERE h.history_id > %(after)s::bigint AND h.severity = 'critical' AND h.event IN ('opened', 'severity', 'reopened')
)
SELECT ARRAY(
           SELECT DISTINCT a.sim_key FROM news AS n JOIN predictions.alerts AS a USING (alert_id)
           LEFT JOIN ops.usage_answers() AS u ON u.sim_key = a.sim_key
           WHERE a.sim_key IS NOT NULL AND a.closed_at IS NULL AND n.at > %(now)s::timestamptz - interval '1 day'
             AND (u.answered_at IS NULL OR u.answered_at < %(now)s::timestamptz - interval '10 minutes')
           ORDER BY a.sim_key LIMIT %(rows)s) AS sim_keys,
       (SELECT coalesce(max(history_id), 0) FROM predictions.alert_history) AS last
