-- The figures of `simsight status`, one row.
SELECT (SELECT count(*) FROM core.sims) AS sims,
       (SELECT count(*) FROM core.sim_usage) AS usage_rows,
       (SELECT max(day) FROM core.sim_usage) AS newest_usage_day,
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
       (SELECT max(as_of) FROM predictions.reports) AS report_as_of;
