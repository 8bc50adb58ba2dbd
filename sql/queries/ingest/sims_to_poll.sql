-- SIMs a pass has not asked yet, those never asked first, then the longest waiting; with the last day covered
-- and what went wrong the last time.
SELECT s.iccid, s.sim_key, p.covered_to, p.polled_at, p.problem, s.unlisted_at IS NULL AS listed
FROM core.sims AS s
LEFT JOIN ops.polls AS p ON p.sim_key = s.sim_key AND p.source = %(source)s
WHERE p.sweep_id IS DISTINCT FROM %(sweep_id)s
ORDER BY p.polled_at NULLS FIRST, s.sim_key;
