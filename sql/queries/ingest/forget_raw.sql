-- Answers, files and processed stream batches from before %(before)s are forgotten, with the quarantine rows that were settled before.
WITH settled AS (
    DELETE FROM ops.quarantine WHERE resolved_at < %(before)s RETURNING 1
), landed AS (
    DELETE FROM raw.landings WHERE received_at < %(before)s RETURNING 1
), streamed AS (
    DELETE FROM raw.stream_batches WHERE received_at < %(before)s AND processed_at IS NOT NULL RETURNING 1
)
SELECT (SELECT count(*) FROM landed) AS landings, (SELECT count(*) FROM streamed) AS "stream batches", (SELECT count(*) FROM settled) AS quarantined;
