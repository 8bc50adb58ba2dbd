-- One row a stream of the organization, oldest first, with when it last brought something; never the secret.
-- Index stream_batches_by_time.
SELECT s.stream_id, s.name, s.created_at, s.revoked_at,
       (SELECT max(b.received_at) FROM raw.stream_batches AS b WHERE b.stream_id = s.stream_id) AS last_at
FROM ops.streams AS s ORDER BY s.created_at, s.stream_id
