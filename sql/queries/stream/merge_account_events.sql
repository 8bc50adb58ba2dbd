-- Events of the account, a row a record: one whose id came before changes nothing. Index account_events_pkey.
-- staged: record_id bigint, occurred_at timestamptz, event_type text, severity text, alert boolean, description text, known_at timestamptz
WITH written AS (
    INSERT INTO core.account_events (organization_id, record_id, occurred_at, event_type, severity, alert, description, known_at)
    SELECT (SELECT ops.current_organization()), record_id, occurred_at, event_type, severity, alert, description, known_at
    FROM staged
    ON CONFLICT (organization_id, record_id) DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM written) AS new, 0 AS changed,
       (SELECT count(*) FROM staged) - (SELECT count(*) FROM written) AS unchanged;
