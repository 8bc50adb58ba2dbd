-- Open quarantined records, oldest first. Index quarantine_open.
SELECT quarantine_id, source, record_key, reason, record, last_seen_at
FROM ops.quarantine WHERE resolved_at IS NULL ORDER BY quarantine_id;
