-- One evaluation of an organization at a time; let go at the end of the transaction.
SELECT pg_advisory_xact_lock(7465014, (SELECT ops.current_organization())) IS NOT NULL AS locked;
