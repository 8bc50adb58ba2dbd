-- LATERAL, so that asking for one SIM or one day touches only its rows.
CREATE OR REPLACE VIEW core.sim_usage_early_v1 WITH (security_invoker = true) AS
SELECT
    s.organization_id,
    s.iccid,
    d.day,
    CASE WHEN d.early THEN d.streamed ELSE coalesce(d.booked, 0) END AS bytes,
    CASE WHEN d.early THEN 'stream' ELSE 'book' END AS source
FROM core.sims AS s
CROSS JOIN LATERAL (
    SELECT
        day,
        booked,
        streamed,
        -- the book is closed for a day that a look at the quota knows, or when it was asked after the following day had ended
        CASE
            WHEN streamed > coalesce(booked, 0) AND NOT coalesce(looked, false)
                THEN coalesce(ops.usage_booked_to(s.sim_key) <= day, true)
            ELSE false
        END AS early
    FROM (
        SELECT u.day, u.bytes AS booked, u.source = 'q' AND u.grade <> 'C' AS looked
        FROM own.sim_usage AS u
        WHERE u.sim_key = s.sim_key
    ) AS book
    FULL JOIN (
        SELECT t.day, sum(t.bytes)::bigint AS streamed
        FROM own.stream_usage AS t
        WHERE t.sim_key = s.sim_key
        GROUP BY t.day
    ) AS stream USING (day)
) AS d;

COMMENT ON VIEW core.sim_usage_early_v1 IS
    'One row a SIM and UTC day, with days under way. '
    'bytes (millionths of a MB): the book (core.sim_usage_v1) for closed days; '
    'for a day not closed yet the greater of book and stream, since each is a lower bound. '
    'source says which of the two it is';
COMMENT ON COLUMN core.sim_usage_early_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN core.sim_usage_early_v1.iccid IS 'ICCID of the SIM: 19 digits, without the check digit';
COMMENT ON COLUMN core.sim_usage_early_v1.day IS 'UTC day, days under way included';
COMMENT ON COLUMN core.sim_usage_early_v1.bytes IS
    'Data volume of the day in bytes (millionths of a MB); of a day not closed yet a lower bound';
COMMENT ON COLUMN core.sim_usage_early_v1.source IS
    'book: the closed record of all sources; stream: what the Data Streamer brought so far, where that is more on a day not closed yet';

GRANT SELECT ON core.sim_usage_early_v1 TO simsight_pipeline, simsight_api;
