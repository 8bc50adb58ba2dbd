-- One row: whether batches wait, and whether records wait in quarantine whose SIM is known by now.
-- Indexes stream_batches_waiting, quarantine_open.
WITH waiting AS (
    SELECT DISTINCT record #>> '{asked,iccid}' AS named FROM ops.quarantine WHERE source = 'stream' AND resolved_at IS NULL
)
SELECT EXISTS (SELECT FROM raw.stream_batches WHERE processed_at IS NULL) AS batches,
       EXISTS (SELECT FROM waiting AS w JOIN core.sims AS s ON s.iccid = w.named)
           OR EXISTS (SELECT FROM waiting WHERE named LIKE '% %' AND core.sim_named(named) IS NOT NULL) AS records;
