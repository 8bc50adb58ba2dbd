-- One row a schedule, by name, with the channels that get it and the newest report it made.
SELECT s.schedule_id, s.name, s.every, s.label, s.country, s.formats, s.at_time, s.time_zone, s.created_at, s.created_by,
       coalesce((SELECT array_agg(c.name ORDER BY c.name) FROM ops.channels AS c
                 WHERE c.channel_id = ANY(s.channel_ids) AND c.deleted_at IS NULL), '{}') AS channels,
       (SELECT max(r.last_day) FROM predictions.period_reports AS r WHERE r.schedule_id = s.schedule_id) AS made_to
FROM ops.report_schedules AS s ORDER BY s.name;
