-- Rows of files that wait in quarantine for nothing but their SIM, which is listed now; oldest first, one row each.
-- Index: quarantine_open. own_label tells that a later file has named the SIM since.
SELECT q.record_key, q.record, q.last_seen_at, s.iccid, s.sim_key, s.own_label
FROM (
    SELECT quarantine_id, record_key, record, last_seen_at,
           substring(reason FROM 'iccid: ([0-9]{19}) is not in the SIM list') AS iccid
    FROM ops.quarantine WHERE source = 'file' AND resolved_at IS NULL
) AS q
JOIN core.sims AS s ON s.organization_id = (SELECT ops.current_organization()) AND s.iccid = q.iccid
ORDER BY q.last_seen_at, q.quarantine_id;
