-- One row a SIM with all that a text may call it by.
SELECT iccid, msisdn, imei, ip_address, coalesce(own_label, label) AS label FROM core.sims ORDER BY sim_key;
