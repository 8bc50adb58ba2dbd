-- Lets one load of usage of the organization in at a time, as merge_usage does.
SELECT pg_advisory_xact_lock(hashtext('usage'), (SELECT ops.current_organization()));
