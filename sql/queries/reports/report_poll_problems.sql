-- poll_problems of the SIMs with the keys %(sims)s; NULL: all.
SELECT source, problem, count(*) AS sims FROM ops.polls
WHERE problem IS NOT NULL AND (%(sims)s::integer[] IS NULL OR sim_key = ANY(%(sims)s::integer[]))
GROUP BY source, problem ORDER BY source, problem;
