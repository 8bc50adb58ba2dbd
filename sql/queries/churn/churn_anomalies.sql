-- Flagged days of SIMs, of the keys in %(sim_keys)s, up to %(as_of)s, %(days)s days back, found on data up to that day: sim_key, day, kind. Primary key.
SELECT sim_key, day, kind FROM predictions.anomalies
WHERE day <= %(as_of)s AND day > %(as_of)s::date - %(days)s::integer AND sim_key = ANY(%(sim_keys)s::integer[]) AND as_of <= %(as_of)s
ORDER BY sim_key, day, kind;
