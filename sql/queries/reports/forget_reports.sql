-- Delete the reports that were made before %(before)s; one that waits to be sent stays until it was.
DELETE FROM predictions.period_reports AS r
WHERE r.made_at < %(before)s AND NOT EXISTS (
    SELECT FROM ops.notifications AS n WHERE n.report_id = r.report_id AND n.state IN ('pending', 'sending'));
