-- One row, the usage up to a day as usage_history gives it: rows, SIMs, first and last day, bytes. Index sim_usage_key and chunk exclusion.
SELECT count(*) AS rows, count(DISTINCT sim_key) AS sims, min(day) AS first_day, max(day) AS last_day, sum(bytes) AS bytes
FROM own.sim_usage
WHERE day <= %(as_of)s AND day > %(as_of)s::date - %(days)s::integer;
