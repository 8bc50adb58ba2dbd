-- Keep a file of a report.
INSERT INTO predictions.report_files (report_id, format, organization_id, file_name, content)
VALUES (%(report_id)s, %(format)s, (SELECT ops.current_organization()), %(file_name)s, %(content)s);
