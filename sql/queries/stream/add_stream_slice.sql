-- A slice of a file of stream records, once. Parameters: body bytea, records integer, now timestamptz.
INSERT INTO raw.stream_batches (organization_id, stream_id, body_sha256, body, records, received_at)
SELECT (SELECT ops.current_organization()), 'files', sha256(%(body)b::bytea), %(body)b::bytea, %(records)s::integer, %(now)s::timestamptz
ON CONFLICT (organization_id, stream_id, body_sha256) DO NOTHING
