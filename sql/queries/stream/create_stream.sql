-- One row, none when a live stream of that name exists: the new stream.
-- Parameters: stream_id text, name text, secret_sha256 bytea, now timestamptz. Index streams_live.
INSERT INTO ops.streams (stream_id, organization_id, name, secret_sha256, created_at)
SELECT %(stream_id)s::text, (SELECT ops.current_organization()), %(name)s::text, %(secret_sha256)s::bytea, %(now)s::timestamptz
ON CONFLICT (organization_id, name) WHERE revoked_at IS NULL DO NOTHING
RETURNING stream_id
