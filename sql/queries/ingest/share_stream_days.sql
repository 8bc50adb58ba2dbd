-- Lets no day be booked from the stream until the end of the transaction, which stores records of it.
SELECT pg_advisory_xact_lock_shared(hashtext('stream days'), (SELECT ops.current_organization()));
