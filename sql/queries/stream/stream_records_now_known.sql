-- Stream records that wait in quarantine for their SIM to be listed, and whose SIM is now: the first %(rows)s in the order they came.
-- Index quarantine_open.
WITH waiting AS (
    SELECT * FROM ops.quarantine WHERE source = 'stream' AND resolved_at IS NULL AND record #>> '{asked,iccid}' IS NOT NULL
), known AS (
    SELECT iccid FROM core.sims
    UNION ALL
    SELECT named FROM (SELECT DISTINCT record #>> '{asked,iccid}' AS named FROM waiting) AS names
    WHERE named LIKE '%% %%' AND core.sim_named(named) IS NOT NULL
)
SELECT q.record_key, q.reason, q.record
FROM waiting AS q JOIN known AS k ON k.iccid = q.record #>> '{asked,iccid}'
ORDER BY q.first_seen_at, (q.record #>> '{asked,batch}')::bigint, (q.record #>> '{asked,at}')::integer, q.quarantine_id
LIMIT %(rows)s;
