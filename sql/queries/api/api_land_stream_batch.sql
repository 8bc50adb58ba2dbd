-- One row: whether the stream is still a live one; then its body is kept, once.
-- Parameters: stream_id text, secret_sha256 bytea, body bytea, records integer, now timestamptz.
SELECT ops.land_stream_batch(
    %(stream_id)s::text, %(secret_sha256)s::bytea, %(body)b::bytea, %(records)s::integer, %(now)s::timestamptz) AS live
