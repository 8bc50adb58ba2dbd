-- Open alerts again whose snooze is over. Parameters: now.
UPDATE predictions.alerts SET state = 'open' WHERE state = 'snoozed' AND snoozed_until <= %(now)s;
