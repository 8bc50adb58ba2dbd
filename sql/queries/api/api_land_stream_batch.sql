-- One row: whether the stream is still a live one; then its body is kept, once, with the trace that it came by.
-- Parameters: stream_id text, secret_sha256 bytea, body bytea, records integer, now timestamptz, traceparent text.
SELECT ops.land_stream_batch(
    %(stream_id)s::text, %(secret_sha256)s::bytea, %(body)b::bytea, %(records)s::integer, %(now)s::timestamptz) AS live
FROM set_config('simsight.traceparent', %(traceparent)s::text, true)
