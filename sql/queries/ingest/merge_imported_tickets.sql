-- Support tickets from a file: one row a case. Messages stay as they were; so do the text, and the end of a closed case, where
-- the file does not give them.
-- staged: case_id text, subject text, body text, status text, created_at timestamptz, solved_at timestamptz, known_at timestamptz
WITH merged AS (
    SELECT s.case_id, s.subject, coalesce(s.body, t.body) AS body, s.status, s.created_at,
           CASE WHEN s.status = 'CLOSED' THEN coalesce(s.solved_at, t.solved_at) ELSE s.solved_at END AS solved_at, s.known_at,
           t.organization_id IS NULL AS is_new, t.subject AS old_subject, t.body AS old_body, t.status AS old_status,
           t.created_at AS old_created_at, t.solved_at AS old_solved_at
    FROM staged AS s LEFT JOIN core.tickets AS t ON t.organization_id = (SELECT ops.current_organization()) AND t.case_id = s.case_id
), compared AS (
    SELECT *, NOT is_new AND (subject, body, status, created_at, solved_at)
               IS DISTINCT FROM (old_subject, old_body, old_status, old_created_at, old_solved_at) AS is_changed
    FROM merged
), written AS (
    INSERT INTO core.tickets (organization_id, case_id, subject, body, status, created_at, solved_at, communications, changed_at)
    SELECT (SELECT ops.current_organization()), case_id, subject, body, status, created_at, solved_at, '[]', known_at
    FROM compared WHERE is_new OR is_changed
    ON CONFLICT (organization_id, case_id) DO UPDATE SET
        subject = excluded.subject,
        body = excluded.body,
        status = excluded.status,
        created_at = excluded.created_at,
        solved_at = excluded.solved_at,
        changed_at = excluded.changed_at
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
