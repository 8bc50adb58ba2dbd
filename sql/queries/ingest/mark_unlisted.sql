-- SIMs that the SIM list no longer names, and those that are back; SIMs added while it was read are left alone. Returns how many left.
-- Parameters: begun and now timestamptz, when reading began and ended. A SIM that stays as it was is not written.
-- staged: iccid text
WITH moved AS (
    UPDATE core.sims AS s SET unlisted_at = CASE WHEN l.iccid IS NULL THEN %(now)s::timestamptz END
    FROM core.sims AS t LEFT JOIN staged AS l USING (iccid)
    WHERE s.sim_key = t.sim_key AND (t.unlisted_at IS NULL) = (l.iccid IS NULL)
        AND (l.iccid IS NOT NULL OR t.first_seen_at < %(begun)s)
    RETURNING s.unlisted_at
)
SELECT count(unlisted_at) AS gone FROM moved;
