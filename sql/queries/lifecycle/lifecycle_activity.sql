-- Days on which a SIM with a key of the block used data or sent an SMS, up to %(as_of)s, %(days)s days back. Primary key and chunk exclusion.
SELECT sim_key, day, bytes, coalesce(sms_mo, 0) AS sms_mo, spread_from FROM own.sim_usage
WHERE sim_key BETWEEN %(first_key)s AND %(last_key)s AND day <= %(as_of)s AND day > %(as_of)s::date - %(days)s::integer AND (bytes > 0 OR sms_mo > 0)
ORDER BY sim_key, day;
