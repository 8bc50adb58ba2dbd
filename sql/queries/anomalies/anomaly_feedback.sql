-- False alarms that people acknowledged up to %(now)s and did not take back: what each is about.
SELECT sim_key, label, kind FROM predictions.anomaly_feedback
WHERE said_at <= %(now)s AND (undone_at IS NULL OR undone_at > %(now)s) ORDER BY feedback_id;
