-- One row: whether a key may write. Parameters: key_sha256.
SELECT EXISTS (SELECT FROM ops.writing_key(%(key_sha256)s::bytea)) AS may_write
