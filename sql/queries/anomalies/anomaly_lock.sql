-- One writer of an organization's anomalies, or of their alerts, at a time, until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtext('anomalies'), (SELECT ops.current_organization()));
