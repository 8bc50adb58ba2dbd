-- One planner of messages at a time; until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtext('plan_notifications'), (SELECT ops.current_organization()));
