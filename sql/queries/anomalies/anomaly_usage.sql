-- Daily usage and SMS up to %(as_of)s, %(days)s days back, one row a SIM and day; of all SIMs, or of the keys in %(sim_keys)s. Primary key, chunk exclusion.
SELECT sim_key, day, bytes, coalesce(sms_mt, 0) + coalesce(sms_mo, 0) + coalesce(sms_unsplit, 0) AS sms, spread_from FROM own.sim_usage
WHERE day <= %(as_of)s AND day > %(as_of)s::date - %(days)s::integer
  AND (%(sim_keys)s::integer[] IS NULL OR sim_key = ANY(%(sim_keys)s::integer[]))
ORDER BY sim_key, day;
