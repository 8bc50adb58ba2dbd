-- One row: whether batches wait, and whether records wait in quarantine whose SIM is listed by now.
-- Indexes stream_batches_waiting, quarantine_open.
SELECT EXISTS (SELECT FROM raw.stream_batches WHERE processed_at IS NULL) AS batches,
       EXISTS (
           SELECT FROM ops.quarantine AS q JOIN core.sims AS s ON s.iccid = q.record #>> '{asked,iccid}'
           WHERE q.source = 'stream' AND q.resolved_at IS NULL) AS records;
