-- Where a SIM was last seen: status, operator, country, radio technology. Parameter: iccid text. Index: sim_connectivity_pkey.
SELECT observed_at, status, operator, country, rat_type FROM core.sim_last_connection WHERE iccid = %(iccid)s::text
