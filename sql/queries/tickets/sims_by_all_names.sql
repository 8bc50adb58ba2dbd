-- One row a SIM with everything a text may call it by.
SELECT sim_key, iccid, msisdn, imei, host(ip_address) AS ip_address, coalesce(own_label, label) AS label FROM core.sims ORDER BY sim_key;
