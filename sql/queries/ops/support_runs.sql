-- The newest runs. To be asked of Dagster's database.
SELECT run_id, pipeline_name AS job, status, partition, create_timestamp, update_timestamp FROM runs ORDER BY id DESC LIMIT 50;
