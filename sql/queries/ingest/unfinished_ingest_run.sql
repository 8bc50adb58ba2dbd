-- The latest ingest run of an endpoint over the same days, if it began after %(since)s and is unfinished. Index sweeps_latest.
SELECT sweep_id, started_at FROM ops.sweeps
WHERE source = %(source)s AND first_day = %(first_day)s AND last_day = %(last_day)s
    AND finished_at IS NULL AND started_at >= %(since)s
ORDER BY started_at DESC LIMIT 1;
