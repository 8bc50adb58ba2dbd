-- What was learnt of calls to 1NCE; what was learnt later stands.
-- staged: call text, version text, last_success_at timestamptz, gone_since timestamptz, checked_at timestamptz
WITH written AS (
    INSERT INTO ops.once_calls AS c (organization_id, call, version, last_success_at, gone_since, checked_at)
    SELECT (SELECT ops.current_organization()), call, version, last_success_at, gone_since, checked_at FROM staged
    ON CONFLICT (organization_id, call, version) DO UPDATE SET
        last_success_at = greatest(c.last_success_at, excluded.last_success_at),
        gone_since = excluded.gone_since, checked_at = excluded.checked_at
        WHERE excluded.checked_at >= c.checked_at
)
SELECT 0 AS new, count(*) AS changed, 0 AS unchanged FROM staged;
