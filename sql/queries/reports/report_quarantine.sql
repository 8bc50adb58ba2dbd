-- One row a source and reason of open quarantined records, the %(top)s most frequent. reasons, total: how many of each there
-- are in all. Index: quarantine_open.
SELECT source, reason, count(*) AS records, count(*) OVER () AS reasons, (sum(count(*)) OVER ())::bigint AS total
FROM ops.quarantine WHERE resolved_at IS NULL
GROUP BY source, reason ORDER BY records DESC, source, reason LIMIT %(top)s;
