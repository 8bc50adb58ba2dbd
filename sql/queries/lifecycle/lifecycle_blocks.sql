-- Blocks of at most %(size)s SIMs in the order of their keys, one row a block: first and last key. Primary key.
SELECT min(sim_key) AS first_key, max(sim_key) AS last_key
FROM (SELECT sim_key, (row_number() OVER (ORDER BY sim_key) - 1) / %(size)s::integer AS block FROM core.sims) AS numbered
GROUP BY block ORDER BY block;
