-- One row: done, unknown or not-admin. Parameters: presented bytea; name, change (pause, resume, remove) text; now timestamptz.
SELECT ops.change_report_schedule(%(presented)s::bytea, %(name)s::text, %(change)s::text, %(now)s::timestamptz) AS outcome
