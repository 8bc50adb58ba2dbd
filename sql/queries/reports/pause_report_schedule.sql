-- Pause a schedule, or let it run again: what was due meanwhile is not made. Returns its row.
UPDATE ops.report_schedules AS s
SET paused_at = CASE WHEN %(paused)s THEN coalesce(s.paused_at, %(now)s) END,
    runs_from = CASE WHEN NOT %(paused)s AND s.paused_at IS NOT NULL THEN %(now)s ELSE s.runs_from END
WHERE s.name = %(name)s
RETURNING s.schedule_id;
