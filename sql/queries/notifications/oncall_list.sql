-- Escalation policies, quiet hours and maintenance windows, one row each.
SELECT 'escalation' AS what, name, jsonb_build_object('min_severity', min_severity, 'rule_id', rule_id, 'steps', (
    SELECT jsonb_agg(jsonb_build_object('channel', c.name, 'after_minutes', t.step -> 'after_minutes') ORDER BY t.n)
    FROM jsonb_array_elements(steps) WITH ORDINALITY AS t (step, n)
    LEFT JOIN ops.channels AS c ON c.channel_id = (t.step ->> 'channel_id')::integer AND c.deleted_at IS NULL)) AS details
FROM ops.escalation_policies
UNION ALL
SELECT 'quiet', q.name, jsonb_build_object('channel', c.name, 'days', q.days, 'from', q.from_time, 'to', q.to_time, 'time_zone', q.time_zone)
FROM ops.quiet_hours AS q LEFT JOIN ops.channels AS c USING (channel_id)
UNION ALL
SELECT 'maintenance', name, jsonb_build_object('scope', scope, 'from', starts_at, 'to', ends_at, 'by', created_by) FROM ops.maintenance_windows
ORDER BY what, name
