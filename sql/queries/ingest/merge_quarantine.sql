-- Records that broke a rule. One that comes again is the same row, and open again if it had been resolved.
-- staged: source text, record_key text, reason text, record jsonb, seen_at timestamptz
WITH written AS (
    INSERT INTO ops.quarantine AS q (organization_id, source, record_key, reason, record, first_seen_at, last_seen_at)
    SELECT DISTINCT ON (source, record_key, reason)
           (SELECT ops.current_organization()), source, record_key, reason, record, seen_at, seen_at
    FROM staged ORDER BY source, record_key, reason, seen_at DESC
    ON CONFLICT (organization_id, source, record_key, reason) DO UPDATE SET
        record = excluded.record, last_seen_at = greatest(q.last_seen_at, excluded.last_seen_at),
        resolved_at = NULL, resolution = NULL
    RETURNING q.xmax = 0 AS is_new  -- a row version that an INSERT made has no xmax
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE NOT is_new) AS changed, 0 AS unchanged FROM written;
