-- Daily usage up to a day, one row a SIM and day, as known now, and where only a sum is known the first of its days; of all SIMs, or of the keys in %(sim_keys)s. Index sim_usage_key and chunk exclusion.
SELECT sim_key, day, bytes, spread_from FROM own.sim_usage
WHERE day <= %(as_of)s AND day > %(as_of)s::date - %(days)s::integer
  AND (%(sim_keys)s::integer[] IS NULL OR sim_key = ANY(%(sim_keys)s::integer[]))
ORDER BY sim_key, day;
