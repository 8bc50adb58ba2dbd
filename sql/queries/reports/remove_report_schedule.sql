-- Remove a schedule; what it made stays. Returns its row.
DELETE FROM ops.report_schedules WHERE name = %(name)s RETURNING schedule_id;
