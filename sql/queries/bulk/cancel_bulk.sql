-- One row: outcome of cancelling a bulk action (ops.cancel_bulk). Parameters: key_sha256 bytea, bulk_id bigint, now timestamptz.
SELECT ops.cancel_bulk(%(key_sha256)s::bytea, %(bulk_id)s::bigint, %(now)s::timestamptz) AS outcome
