-- Delete raw responses, files and processed stream batches from before %(before)s, and the quarantine rows resolved before.
WITH resolved AS (
    DELETE FROM ops.quarantine WHERE resolved_at < %(before)s RETURNING 1
), responses AS (
    DELETE FROM raw.landings WHERE received_at < %(before)s RETURNING 1
), streamed AS (
    DELETE FROM raw.stream_batches WHERE received_at < %(before)s AND processed_at IS NOT NULL RETURNING 1
)
SELECT (SELECT count(*) FROM responses) AS landings, (SELECT count(*) FROM streamed) AS "stream batches",
       (SELECT count(*) FROM resolved) AS quarantined;
