-- Takes at most %(sims)s SIMs whose usage is to be booked off the list, in the order of their keys, one row each: since which day of
-- looks or of the stream; to which day the usage call covers the SIM, and when it was activated. What others hold is left to them.
WITH taken AS (
    SELECT sim_key FROM ops.usage_touched ORDER BY sim_key LIMIT %(sims)s FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM ops.usage_touched AS w USING taken AS t WHERE w.sim_key = t.sim_key
    RETURNING w.sim_key, w.look_day, w.stream_day
)
SELECT g.sim_key, g.look_day, g.stream_day, p.covered_to, s.activated_at
FROM gone AS g
JOIN core.sims AS s USING (sim_key)
LEFT JOIN ops.polls AS p ON p.sim_key = g.sim_key AND p.source = 'usage'
ORDER BY g.sim_key;
