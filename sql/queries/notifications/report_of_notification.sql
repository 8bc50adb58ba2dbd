-- One row: the report that a message brings. Parameter: report_id. Primary key.
SELECT report_id, name, first_day, last_day, as_of, label, country, data_note, reading FROM predictions.period_reports WHERE report_id = %(report_id)s;
