-- What SIMs have in common whatever the day, one row a SIM: type of the device (first 8 digits of its IMEI) and what its label begins with. Whole table.
SELECT sim_key, left(imei, 8) AS device_type, nullif((regexp_match(coalesce(own_label, label), '^(.+?)[-_. /:]'))[1], '') AS label_prefix
FROM core.sims ORDER BY sim_key;
