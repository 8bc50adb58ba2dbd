-- One row: done, taken, no-channel (one of them is unknown) or not-admin. Parameters: presented bytea; name, every text; label, country text
-- or NULL; formats, channels text[]; at time; time_zone text; now timestamptz.
SELECT ops.add_report_schedule(%(presented)s::bytea, %(name)s::text, %(every)s::text, %(label)s::text, %(country)s::text, %(formats)s::text[],
                               %(channels)s::text[], %(at)s::time, %(time_zone)s::text, %(now)s::timestamptz) AS outcome
