-- The first day of usage that is stored and the first as-of day with a report; one row, NULL without any.
SELECT (SELECT min(day) FROM core.sim_usage) AS usage, (SELECT min(as_of) FROM predictions.reports) AS as_of;
