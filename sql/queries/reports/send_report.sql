-- Put the message that brings a report into the outbox, one a channel of its schedule; a channel that was deleted gets none.
INSERT INTO ops.notifications (organization_id, channel_id, delivery_key, stage, severity, report_id, created_at, next_attempt_at)
SELECT (SELECT ops.current_organization()), c.channel_id, gen_random_uuid(), 'report', 'info', %(report_id)s, %(now)s, %(now)s
FROM ops.report_schedules AS s JOIN ops.channels AS c ON c.channel_id = ANY(s.channel_ids)
WHERE s.schedule_id = %(schedule_id)s AND c.deleted_at IS NULL
ON CONFLICT ON CONSTRAINT notifications_report_once DO NOTHING;
