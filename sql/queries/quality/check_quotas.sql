-- The latest data quota of every SIM that answers.
SELECT DISTINCT ON (q.sim_key) q.sim_key, greatest(q.day, (p.polled_at AT TIME ZONE 'UTC')::date) AS seen_on, q.amount_left, q.amount_total
FROM own.sim_quota AS q
LEFT JOIN ops.polls AS p ON p.sim_key = q.sim_key AND p.source = 'quota' AND p.problem IS NULL
WHERE q.kind = 'data' ORDER BY q.sim_key, q.day DESC;
