-- These batches have been merged. Parameters: batch_ids bigint[], now timestamptz.
UPDATE raw.stream_batches SET processed_at = %(now)s::timestamptz WHERE batch_id = ANY(%(batch_ids)s::bigint[])
