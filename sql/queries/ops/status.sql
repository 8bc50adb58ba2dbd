-- The figures of `simsight status`, one row. Usage rows are those of all days, and, as the newest report counts them, those
-- up to its as-of day: the days after it are not complete.
SELECT (SELECT count(*) FROM core.sims) AS sims,
       used.usage_rows, used.usage_rows_up_to_report, used.newest_usage_day,
       (SELECT count(*) FROM core.sim_usage_replaced) AS replaced_usage_rows,
       (SELECT count(DISTINCT as_of) FROM ops.stale_predictions) AS stale_prediction_days,
       (SELECT count(*) FROM ops.quarantine WHERE resolved_at IS NULL) AS quarantined_rows,
       (SELECT count(*) FROM raw.stream_batches WHERE processed_at IS NULL) AS stream_batches_waiting,
       (SELECT count(*) FROM predictions.usage_forecasts) AS forecasts,
       (SELECT max(as_of) FROM predictions.usage_forecasts) AS forecasts_as_of,
       (SELECT count(*) FROM predictions.exhaustions) AS exhaustions,
       (SELECT count(*) FROM predictions.alerts WHERE closed_at IS NULL) AS open_alerts,
       (SELECT count(*) FROM predictions.alert_rules WHERE enabled AND deleted_at IS NULL AND error IS NOT NULL) AS alert_rules_with_errors,
       (SELECT count(*) FROM ops.channels WHERE deleted_at IS NULL AND parked_at IS NOT NULL) AS channels_parked,
       (SELECT count(*) FROM ops.notifications WHERE state IN ('dead', 'unknown') AND created_at > %(now)s - interval '7 days')
           AS messages_not_delivered_last_week,
       report.as_of AS report_as_of
FROM (SELECT max(as_of) AS as_of FROM predictions.reports) AS report
CROSS JOIN LATERAL (
    SELECT count(*) AS usage_rows, count(*) FILTER (WHERE day <= report.as_of) AS usage_rows_up_to_report,
           max(day) AS newest_usage_day
    FROM core.sim_usage
) AS used;
