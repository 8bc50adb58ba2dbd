-- Snoozes that are over: the alerts are open again.
UPDATE predictions.alerts SET state = 'open' WHERE state = 'snoozed' AND snoozed_until <= %(now)s;
