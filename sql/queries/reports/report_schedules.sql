-- One row a schedule, by name, with the channels that get it, the newest report it made and what became of its messages.
SELECT * FROM ops.scheduled_reports()
