-- ICCID and label of the SIMs from %(first_key)s to %(last_key)s. Primary key.
SELECT sim_key, iccid, coalesce(own_label, label) AS label FROM core.sims
WHERE sim_key BETWEEN %(first_key)s AND %(last_key)s ORDER BY sim_key;
