-- Support tickets: one row a case.
-- staged: case_id text, subject text, body text, status text, created_at timestamptz, solved_at timestamptz, communications jsonb, changed_at timestamptz
WITH compared AS (
    SELECT s.*, t.organization_id IS NULL AS is_new,
           t.organization_id IS NOT NULL
               AND (s.subject, s.body, s.status, s.created_at, s.solved_at, s.communications)
               IS DISTINCT FROM (t.subject, t.body, t.status, t.created_at, t.solved_at, t.communications) AS is_changed
    FROM staged AS s LEFT JOIN core.tickets AS t ON t.organization_id = (SELECT ops.current_organization()) AND t.case_id = s.case_id
), written AS (
    INSERT INTO core.tickets (organization_id, case_id, subject, body, status, created_at, solved_at, communications, changed_at)
    SELECT (SELECT ops.current_organization()), case_id, subject, body, status, created_at, solved_at, communications, changed_at
    FROM compared WHERE is_new OR is_changed
    ON CONFLICT (organization_id, case_id) DO UPDATE SET
        subject = excluded.subject,
        body = excluded.body,
        status = excluded.status,
        created_at = excluded.created_at,
        solved_at = excluded.solved_at,
        communications = excluded.communications,
        changed_at = excluded.changed_at
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
