-- The newest day of usage that is stored; one row, NULL without any. Index sim_usage_by_day, chunk exclusion.
SELECT max(day) AS day FROM core.sim_usage;
