-- One row an open quarantined record of one file. Parameters: file text. Index: quarantine_open.
SELECT record_key FROM ops.quarantine
WHERE source = 'file' AND resolved_at IS NULL AND record->'asked'->>'file' = %(file)s;
