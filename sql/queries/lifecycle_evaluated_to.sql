-- The last as-of day the state machine was run for; NULL when never. Index sweeps_latest.
SELECT max(last_day) AS as_of FROM ops.sweeps WHERE source = 'lifecycle' AND finished_at IS NOT NULL;
