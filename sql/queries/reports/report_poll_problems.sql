-- SIMs whose last call gave nothing, by call and problem: of the SIMs with the keys %(sims)s; NULL: all.
SELECT source, problem, sims FROM ops.poll_problems(%(sims)s::integer[]) ORDER BY source, problem;
