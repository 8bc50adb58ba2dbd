-- The reports that are kept, the newest first. Parameters: before bigint or NULL, rows integer. Index: period_reports_by_organization.
SELECT r.report_id, r.name, r.first_day, r.last_day, r.as_of, r.label, r.country, r.data_note, r.made_at,
       (SELECT array_agg(f.format ORDER BY f.format) FROM predictions.report_files AS f WHERE f.report_id = r.report_id) AS formats,
       '/v1/reports/kept/' || r.report_id AS href
FROM predictions.period_reports AS r
WHERE r.report_id < coalesce(%(before)s::bigint, 9223372036854775807)
ORDER BY r.report_id DESC LIMIT %(rows)s::integer
