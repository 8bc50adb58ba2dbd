-- Answers and files from before %(before)s are forgotten, with the quarantine rows that were settled before.
WITH settled AS (
    DELETE FROM ops.quarantine WHERE resolved_at < %(before)s RETURNING 1
), landed AS (
    DELETE FROM raw.landings WHERE received_at < %(before)s RETURNING 1
)
SELECT (SELECT count(*) FROM landed) AS landings, (SELECT count(*) FROM settled) AS quarantined;
