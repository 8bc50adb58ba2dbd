-- This version of a file has been read. Parameters: path text, version text, records integer, now timestamptz.
INSERT INTO raw.stream_files (organization_id, path, version, records, landed_at)
SELECT (SELECT ops.current_organization()), %(path)s::text, %(version)s::text, %(records)s::integer, %(now)s::timestamptz
ON CONFLICT (organization_id, path, version) DO NOTHING
