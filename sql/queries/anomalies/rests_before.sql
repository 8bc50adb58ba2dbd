-- Stretches of %(least)s days or more without data, of the SIMs in %(sim_keys)s, in the %(days)s days up to %(as_of)s: one row each, one
-- with no days for a SIM without any, and the first day with data there. Index sim_usage_key, chunk exclusion.
WITH used AS (
    SELECT sim_key, day, lag(day) OVER (PARTITION BY sim_key ORDER BY day) AS before, min(day) OVER (PARTITION BY sim_key) AS known_from
    FROM own.sim_usage
    WHERE sim_key = ANY(%(sim_keys)s::integer[]) AND day <= %(as_of)s AND day > %(as_of)s::date - %(days)s::integer AND bytes > 0
)
SELECT DISTINCT sim_key, known_from, CASE WHEN is_rest THEN before + 1 END AS first_day, CASE WHEN is_rest THEN day - 1 END AS last_day
FROM used CROSS JOIN LATERAL (SELECT coalesce(day - before > %(least)s::integer, false) AS is_rest) AS r
WHERE is_rest OR day = known_from
ORDER BY 1, 3;
