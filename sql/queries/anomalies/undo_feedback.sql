-- Take an acknowledged false alarm back.
UPDATE predictions.anomaly_feedback SET undone_by = %(by)s, undone_at = %(now)s WHERE feedback_id = %(feedback_id)s AND undone_at IS NULL;
