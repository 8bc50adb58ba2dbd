-- Daily usage up to a day, one row a SIM and day, as known now. Primary key and chunk exclusion.
SELECT sim_key, day, bytes FROM core.sim_usage
WHERE day <= %(as_of)s AND day > %(as_of)s::date - %(days)s::integer
ORDER BY sim_key, day;
