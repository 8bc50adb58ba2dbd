-- Of the versions of files found, those that have not been read. Index stream_files_pkey.
-- staged: path text, version text, size bigint
SELECT path, version, size FROM staged AS s
WHERE NOT EXISTS (SELECT FROM raw.stream_files AS f WHERE f.path = s.path AND f.version = s.version)
ORDER BY path;
