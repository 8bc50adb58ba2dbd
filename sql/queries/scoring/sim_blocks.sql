-- Blocks of at most %(size)s SIMs in the order of their keys, one row a block: its number from 0, first and last key. None without usage
-- up to %(as_of)s. Primary key.
SELECT block::integer AS block, min(sim_key) AS first_key, max(sim_key) AS last_key
FROM (SELECT sim_key, (row_number() OVER (ORDER BY sim_key) - 1) / %(size)s::integer AS block FROM core.sims) AS numbered
WHERE EXISTS (SELECT FROM own.sim_usage WHERE day <= %(as_of)s)
GROUP BY block ORDER BY block;
