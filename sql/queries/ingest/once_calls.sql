-- What is known of every call to 1NCE.
SELECT call, version, last_success_at, gone_since, checked_at FROM ops.once_calls ORDER BY call, version;
