-- The latest connectivity of every SIM that answers.
SELECT DISTINCT ON (c.sim_key) c.sim_key, greatest(c.day, (p.polled_at AT TIME ZONE 'UTC')::date) AS seen_on, c.status
FROM own.sim_connectivity AS c
LEFT JOIN ops.polls AS p ON p.sim_key = c.sim_key AND p.source = 'status' AND p.problem IS NULL
ORDER BY c.sim_key, c.day DESC;
