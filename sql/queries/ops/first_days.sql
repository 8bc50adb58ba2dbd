-- The first day whose usage was asked for and the first as-of day with a report; one row, NULL without any.
SELECT (SELECT min(first_day) FROM ops.sweeps WHERE source = 'usage') AS usage, (SELECT min(as_of) FROM predictions.reports) AS as_of;
