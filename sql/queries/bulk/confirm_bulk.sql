-- One row: outcome of confirming a bulk action (ops.confirm_bulk) and, where it has changed, how many of its things are not as they were.
-- Parameters: key_sha256 bytea, bulk_id bigint, phrase text, digest bytea or NULL, now timestamptz.
SELECT outcome, others FROM ops.confirm_bulk(%(key_sha256)s::bytea, %(bulk_id)s::bigint, %(phrase)s::text, %(digest)s::bytea, %(now)s::timestamptz)
