-- One row: SHA-256 of the secret of a live stream, NULL for an unknown or revoked one.
-- Parameters: stream_id text. Index streams_pkey, inside ops.stream_secret.
SELECT ops.stream_secret(%(stream_id)s::text) AS secret_sha256
