-- Messages that are due and not in the outbox yet; one row: how many. Alerts of one rule or kind, severity and day share a message. An alert, a
-- channel and a stage have one message for ever: primary key of notified_alerts. What was open before the channel is not told by day.
-- Indexes: alerts_open, alerts_closed.
WITH known AS MATERIALIZED (
    SELECT a.alert_id, a.kind, a.rule_id, a.incident_id, a.severity, a.state, a.opened_at, a.opened_as_of, a.closed_at, a.snoozed_until,
           array_position(ARRAY['info', 'warning', 'critical'], a.severity) AS rank
    FROM predictions.alerts AS a LEFT JOIN core.sims AS s USING (sim_key)
    WHERE (a.closed_at IS NULL OR a.closed_at > %(now)s::timestamptz - interval '3 days')
      AND NOT EXISTS (  -- work is being done: nobody is told before it ends
        SELECT FROM ops.maintenance_windows AS w
        WHERE %(now)s >= w.starts_at AND %(now)s < w.ends_at
          AND (NOT w.scope ? 'label_prefix' OR starts_with(coalesce(s.own_label, s.label), w.scope ->> 'label_prefix'))
          AND (NOT w.scope ? 'iccids' OR s.iccid IN (SELECT jsonb_array_elements_text(w.scope -> 'iccids'))))
), channels AS MATERIALIZED (
    SELECT *, array_position(ARRAY['info', 'warning', 'critical'], min_severity) AS rank FROM ops.channels WHERE deleted_at IS NULL
), told AS MATERIALIZED (
    SELECT l.alert_id, l.channel_id, l.stage, n.state, array_position(ARRAY['info', 'warning', 'critical'], n.severity) AS rank
    FROM ops.notified_alerts AS l JOIN ops.notifications AS n USING (notification_id)
    WHERE l.alert_id IN (SELECT alert_id FROM known)
), wanted AS (
    SELECT c.channel_id, a.alert_id, 'opened' AS stage
    FROM known AS a JOIN channels AS c ON c.direct AND c.digest_at IS NULL AND a.rank >= c.rank AND a.opened_at >= c.tells_from
    WHERE a.state = 'open'
    UNION
    SELECT c.channel_id, a.alert_id,
           CASE WHEN (t.step ->> 'after_minutes')::double precision <= 0 THEN 'opened' ELSE 'escalation ' || p.policy_id || '.' || t.n END
    FROM ops.escalation_policies AS p
    CROSS JOIN LATERAL jsonb_array_elements(p.steps) WITH ORDINALITY AS t (step, n)
    JOIN channels AS c ON c.channel_id = (t.step ->> 'channel_id')::integer
    JOIN known AS a ON a.rank >= array_position(ARRAY['info', 'warning', 'critical'], p.min_severity)
        AND (p.rule_id IS NULL OR p.rule_id = a.rule_id) AND a.opened_at >= p.created_at
        AND a.opened_at + make_interval(secs => 60 * (t.step ->> 'after_minutes')::double precision) <= %(now)s
    WHERE a.state = 'open'
    UNION
    SELECT t.channel_id, a.alert_id, 'raised to ' || a.severity
    FROM known AS a JOIN told AS t USING (alert_id)
    WHERE a.state = 'open'
    GROUP BY t.channel_id, a.alert_id, a.severity, a.rank HAVING max(t.rank) < a.rank
    UNION
    SELECT t.channel_id, a.alert_id, 'open again ' || extract(epoch FROM a.snoozed_until)::bigint
    FROM known AS a JOIN told AS t ON t.alert_id = a.alert_id AND t.stage = 'opened'
    WHERE a.state = 'open' AND a.snoozed_until IS NOT NULL
    UNION
    SELECT t.channel_id, a.alert_id, 'resolved'
    FROM known AS a JOIN told AS t ON t.alert_id = a.alert_id AND t.stage = 'opened' AND t.state IN ('sent', 'unknown')
    JOIN channels AS c ON c.channel_id = t.channel_id AND c.resolved
    WHERE a.closed_at IS NOT NULL
), messages AS MATERIALIZED (
    SELECT w.channel_id, w.stage, a.severity, gen_random_uuid() AS delivery_key, array_agg(w.alert_id) AS alert_ids
    FROM wanted AS w JOIN known AS a USING (alert_id) JOIN channels AS c USING (channel_id)
    WHERE NOT EXISTS (
        SELECT FROM told AS t WHERE t.alert_id = w.alert_id AND t.channel_id = w.channel_id AND t.stage = w.stage)
    GROUP BY w.channel_id, w.stage, a.severity, a.kind, a.rule_id, a.incident_id,
        CASE WHEN a.opened_at >= c.created_at THEN a.opened_as_of END
), added AS (
    INSERT INTO ops.notifications (organization_id, channel_id, delivery_key, stage, severity, created_at, next_attempt_at)
    SELECT (SELECT ops.current_organization()), channel_id, delivery_key, stage, severity, %(now)s, %(now)s FROM messages
    RETURNING notification_id, delivery_key
), linked AS (
    INSERT INTO ops.notified_alerts (alert_id, channel_id, stage, organization_id, notification_id)
    SELECT unnest(m.alert_ids), m.channel_id, m.stage, (SELECT ops.current_organization()), a.notification_id
    FROM messages AS m JOIN added AS a USING (delivery_key)
)
SELECT count(*) AS planned FROM added;
