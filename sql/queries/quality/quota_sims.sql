-- At most %(sims)s SIMs with keys above %(above)s, in their order, and to which day the usage call covers each. Primary key.
SELECT s.sim_key, p.covered_to
FROM core.sims AS s LEFT JOIN ops.polls AS p ON p.sim_key = s.sim_key AND p.source = 'usage'
WHERE s.sim_key > %(above)s ORDER BY s.sim_key LIMIT %(sims)s;
