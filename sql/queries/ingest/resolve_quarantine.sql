-- Resolve the quarantined records of these keys: valid rows have come for them.
-- staged: source text, record_key text, seen_at timestamptz, resolution text
WITH resolved AS (
    UPDATE ops.quarantine AS q SET resolved_at = s.seen_at, resolution = s.resolution
    FROM staged AS s
    WHERE q.organization_id = (SELECT ops.current_organization()) AND q.source = s.source AND q.record_key = s.record_key
        AND q.resolved_at IS NULL
    RETURNING q.source, q.record_key
)
SELECT 0 AS new, count(*) AS changed, (SELECT count(*) FROM staged) - count(DISTINCT (source, record_key)) AS unchanged
FROM resolved;
