-- The last look at the data quota in each calendar month up to %(as_of)s, %(days)s days back, of the SIMs in %(sim_keys)s: what was known at
-- months' ends and is on the day. Amounts in bytes. Primary key and chunk exclusion.
SELECT DISTINCT ON (sim_key, date_trunc('month', day)) sim_key, day, amount_left, amount_total, (expires_at AT TIME ZONE 'UTC')::date AS expires_on
FROM own.sim_quota
WHERE kind = 'data' AND day <= %(as_of)s AND day > %(as_of)s::date - %(days)s::integer AND sim_key = ANY(%(sim_keys)s::integer[])
ORDER BY sim_key, date_trunc('month', day), day DESC;
