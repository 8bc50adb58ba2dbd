-- Store raw responses and files; the same one twice is one row.
-- staged: source text, request text, body text, received_at timestamptz
WITH written AS (
    INSERT INTO raw.landings (organization_id, source, request, body_sha256, body, received_at)
    SELECT (SELECT ops.current_organization()), source, request, sha256(convert_to(body, 'UTF8')), body, received_at FROM staged
    ON CONFLICT (organization_id, source, request, body_sha256) DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM written) AS new, 0 AS changed,
       (SELECT count(*) FROM staged) - (SELECT count(*) FROM written) AS unchanged;
