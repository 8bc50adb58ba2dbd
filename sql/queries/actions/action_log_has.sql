-- One row: whether the log holds a row of this hash. Parameters: head text (hexadecimal).
SELECT EXISTS (SELECT FROM ops.action_log WHERE encode(sha256, 'hex') = %(head)s::text) AS found
