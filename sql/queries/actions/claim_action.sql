-- Moves one action to `sending`, unless another sender was first, the kill switch is set, or a cap would be passed; no row then.
-- Run lock_actions before, in the same transaction. Parameters: action_id, switched_on text[], to_approve text[], known_before
-- jsonb, sims_per_hour, minor_per_day, now.
UPDATE ops.action_requests AS r
SET state = 'sending', sent_at = %(now)s::timestamptz, attempts = r.attempts + 1, known_before = %(known_before)s::jsonb,
    message = '', changed_by = 'sender', changed_at = %(now)s::timestamptz
FROM (
    SELECT
        count(*) FILTER (WHERE o.sent_at > %(now)s::timestamptz - interval '1 hour') AS sims,
        coalesce(sum(o.cost_minor), 0) AS minor
    FROM ops.action_requests AS o
    WHERE o.sent_at > %(now)s::timestamptz - interval '24 hours' AND o.action_id <> %(action_id)s::bigint
) AS used
WHERE r.action_id = %(action_id)s::bigint
    AND (r.state = 'approved' OR (r.state = 'requested' AND NOT r.kind = ANY(%(to_approve)s::text[])))
    AND r.kind = ANY(%(switched_on)s::text[])
    AND used.sims < %(sims_per_hour)s::bigint
    AND (r.cost_minor = 0 OR used.minor + r.cost_minor <= %(minor_per_day)s::bigint)
    AND NOT EXISTS (SELECT FROM ops.action_switches AS w WHERE w.stopped)
    AND NOT EXISTS (
        SELECT FROM ops.action_requests AS o
        WHERE o.kind = r.kind AND o.sim_key IS NOT DISTINCT FROM r.sim_key AND o.state IN ('sending', 'unclear'))
RETURNING r.attempts
