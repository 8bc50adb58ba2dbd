-- The newest failures of runs, of all organizations.
SELECT run_id, job, failed_at, message FROM ops.run_failures ORDER BY failed_at DESC LIMIT 50;
