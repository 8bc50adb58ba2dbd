-- Waits for what is storing stream records now, and lets nothing store any until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtext('stream days'), (SELECT ops.current_organization()));
