-- One row a SIM and day: bytes (millionths of a MB) of the given SIMs in the %(days)s days up to %(as_of)s. Primary key.
SELECT sim_key, day, bytes, spread_from FROM core.sim_usage
WHERE sim_key = ANY(%(sim_keys)s::integer[]) AND day > %(as_of)s::date - %(days)s::integer AND day <= %(as_of)s
ORDER BY sim_key, day;
