-- At most %(sims)s SIMs, as many of each device type as there is room for: of rare types all, of common ones equally many, taken by a hash of
-- their keys. One pass over core.sims.
SELECT sim_key FROM (
    SELECT sim_key, row_number() OVER (PARTITION BY left(imei, 8) ORDER BY hashint4(sim_key), sim_key) AS nth FROM core.sims
) AS numbered
ORDER BY nth, hashint4(sim_key), sim_key LIMIT %(sims)s;
