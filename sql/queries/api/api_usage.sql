-- One row a UTC day of a SIM's usage, oldest first; volumes in bytes (millionths of a MB).
-- Parameters: iccid text, first_day and last_day date, both included. Indexes: sims_organization_id_iccid_key, sim_usage_key.
SELECT day, bytes AS total, bytes_rx AS received, bytes_tx AS sent, sms_mt, sms_mo, known_at
FROM core.sim_usage_v1
WHERE iccid = %(iccid)s::text AND day BETWEEN %(first_day)s AND %(last_day)s
ORDER BY day
