-- A file of a report that is kept. Parameters: report_id bigint, format text. Primary key.
SELECT file_name, content FROM predictions.report_files WHERE report_id = %(report_id)s::bigint AND format = %(format)s::text
