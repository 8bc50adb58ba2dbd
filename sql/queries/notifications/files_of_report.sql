-- The files of a report. Parameter: report_id. Primary key.
SELECT format, file_name, content FROM predictions.report_files WHERE report_id = %(report_id)s ORDER BY format;
