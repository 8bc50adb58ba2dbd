-- SIMs whose last call gave nothing, by call and problem.
SELECT source, problem, count(*) AS sims FROM ops.polls WHERE problem IS NOT NULL GROUP BY source, problem ORDER BY source, problem;
