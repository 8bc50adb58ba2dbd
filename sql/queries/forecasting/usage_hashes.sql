-- One row a SIM from %(first_key)s to %(last_key)s with usage up to %(as_of)s: a hash of the same rows that usage_history gives. Index sim_usage_key.
SELECT sim_key, bit_xor(hashint8extended(bytes, day - DATE '2000-01-01' + coalesce(100000 + (day - spread_from), 0))) AS usage_hash
FROM own.sim_usage
WHERE sim_key BETWEEN %(first_key)s AND %(last_key)s AND day <= %(as_of)s AND day > %(as_of)s::date - %(days)s::integer
GROUP BY sim_key ORDER BY sim_key;
