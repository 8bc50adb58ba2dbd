-- Stream records that wait in quarantine for their SIM to be listed, and whose SIM is now: the first %(rows)s in the order they came.
-- Index quarantine_open.
SELECT q.record_key, q.reason, q.record
FROM ops.quarantine AS q JOIN core.sims AS s ON s.iccid = q.record #>> '{asked,iccid}'
WHERE q.source = 'stream' AND q.resolved_at IS NULL
ORDER BY q.first_seen_at, (q.record #>> '{asked,batch}')::bigint, (q.record #>> '{asked,at}')::integer, q.quarantine_id
LIMIT %(rows)s;
