-- One row a source and reason of open quarantined records, the %(top)s most frequent. reasons, total: how many of each there
-- are in all. Index: quarantine_open.
SELECT source, reason, records, count(*) OVER () AS reasons, (sum(records) OVER ())::bigint AS total
FROM ops.quarantine_counts() ORDER BY records DESC, source, reason LIMIT %(top)s;
