-- Write quiet hours, in the place of those of that name. The time zone is tried by using it.
INSERT INTO ops.quiet_hours (organization_id, name, channel_id, days, from_time, to_time, time_zone)
SELECT (SELECT ops.current_organization()), %(name)s, %(channel_id)s, %(days)s::smallint[], %(from_time)s::time, %(to_time)s::time, %(time_zone)s
WHERE (now() AT TIME ZONE %(time_zone)s) IS NOT NULL
ON CONFLICT (organization_id, name) DO UPDATE SET
    channel_id = excluded.channel_id, days = excluded.days, from_time = excluded.from_time, to_time = excluded.to_time,
    time_zone = excluded.time_zone
RETURNING quiet_id;
