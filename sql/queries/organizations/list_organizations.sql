-- Each organization by name, as the owner of the tables sees them.
SELECT o.slug AS name, CASE WHEN o.paused_at IS NULL THEN 'active' ELSE 'paused' END AS state, o.paused_at,
    (SELECT s.value FROM ops.organization_settings AS s
     WHERE s.organization_id = o.organization_id AND s.name = 'ONCE_USERNAME') AS account,
    (SELECT count(*) FROM core.sims AS s WHERE s.organization_id = o.organization_id) AS sims,
    (SELECT max(u.day) FROM core.sim_usage AS u WHERE u.organization_id = o.organization_id) AS newest_day,
    (SELECT count(*) FROM core.sim_usage AS u WHERE u.organization_id = o.organization_id) AS rows_of_usage,
    (SELECT max(w.finished_at) FROM ops.sweeps AS w WHERE w.organization_id = o.organization_id) AS last_ingest,
    (SELECT max(r.created_at) FROM predictions.reports AS r WHERE r.organization_id = o.organization_id) AS last_report,
    f.failed_at AS last_failure, f.job || ': ' || f.message AS failure,
    coalesce(m.requests, 0) AS requests_this_month, p.requests_per_hour,
    o.data_note, o.created_at
FROM core.organizations AS o
LEFT JOIN ops.once_use_by_month AS m ON m.organization_id = o.organization_id AND m.month = date_trunc('month', %(now)s::timestamptz AT TIME ZONE 'UTC')
LEFT JOIN ops.pipeline_watch AS p ON p.organization_id = o.organization_id
LEFT JOIN LATERAL (
    SELECT r.failed_at, r.job, r.message FROM ops.run_failures AS r
    WHERE r.organization_id = o.organization_id ORDER BY r.failed_at DESC LIMIT 1
) AS f ON true
ORDER BY o.slug;
