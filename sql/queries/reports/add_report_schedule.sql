-- Add a schedule; no row where the name is taken. The time zone is tried by using it.
INSERT INTO ops.report_schedules
    (organization_id, name, every, label, country, formats, channel_ids, at_time, time_zone, created_at, created_by, runs_from)
SELECT (SELECT ops.current_organization()), %(name)s, %(every)s, %(label)s, %(country)s, %(formats)s, %(channel_ids)s::integer[], %(at)s::time,
       %(time_zone)s, %(now)s, %(by)s, %(now)s
WHERE (%(now)s::timestamptz AT TIME ZONE %(time_zone)s) IS NOT NULL
ON CONFLICT (organization_id, name) DO NOTHING
RETURNING schedule_id;
