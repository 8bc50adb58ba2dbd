-- The oldest batches that wait, up to %(records)s records and %(bytes)s bytes but at least one, locked until the transaction ends;
-- those that another process holds are passed over. Index stream_batches_waiting.
WITH locked AS MATERIALIZED (
    SELECT batch_id, body, records, octet_length(body) AS size, received_at, traceparent
    FROM raw.stream_batches WHERE processed_at IS NULL
    ORDER BY batch_id LIMIT 500 FOR UPDATE SKIP LOCKED
), summed AS (
    SELECT locked.*, sum(records) OVER (ORDER BY batch_id) AS records_to, sum(size) OVER (ORDER BY batch_id) AS bytes_to,
           row_number() OVER (ORDER BY batch_id) AS place
    FROM locked
)
SELECT batch_id, body, received_at, traceparent FROM summed
WHERE place = 1 OR records_to <= %(records)s AND bytes_to <= %(bytes)s
ORDER BY batch_id;
