-- One row: how many rows the log has, and the hash of the last. Parameters: none.
SELECT count(*) AS rows, (SELECT encode(sha256, 'hex') FROM ops.action_log ORDER BY number DESC LIMIT 1) AS head FROM ops.action_log
