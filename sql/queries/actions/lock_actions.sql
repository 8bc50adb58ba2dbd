-- One sender decides at a time what an organization may still send; until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtext('actions'), (SELECT ops.current_organization()))
