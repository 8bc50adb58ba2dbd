-- Where a SIM was last seen: status, operator, country, radio technology. Parameter: iccid text. Index: sim_connectivity_pkey.
SELECT observed_at, status, operator, country, rat_type FROM core.sim_connectivity
WHERE sim_key = (SELECT sim_key FROM core.sims WHERE iccid = %(iccid)s::text) ORDER BY day DESC LIMIT 1
