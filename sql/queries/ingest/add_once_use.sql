-- Adds what one client asked of 1NCE, as of %(now)s: to all there was, and to the month.
WITH by_month AS (
    INSERT INTO ops.once_use_by_month AS m (organization_id, month, requests)
    VALUES ((SELECT ops.current_organization()), date_trunc('month', %(now)s::timestamptz AT TIME ZONE 'UTC'), %(requests)s)
    ON CONFLICT (organization_id, month) DO UPDATE SET requests = m.requests + excluded.requests
)
INSERT INTO ops.once_use AS u (organization_id, requests, retries, throttled, reauthentications, breaker_open, changed_at)
VALUES ((SELECT ops.current_organization()), %(requests)s, %(retries)s, %(throttled)s, %(reauthentications)s, %(breaker_open)s, %(now)s)
ON CONFLICT (organization_id) DO UPDATE SET
    requests = u.requests + excluded.requests, retries = u.retries + excluded.retries, throttled = u.throttled + excluded.throttled,
    reauthentications = u.reauthentications + excluded.reauthentications, breaker_open = excluded.breaker_open,
    changed_at = excluded.changed_at;
