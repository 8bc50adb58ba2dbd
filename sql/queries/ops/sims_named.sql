-- One row a SIM with this ICCID or label, as the SIM list last gave it and with what was seen of it last, at most %(rows)s.
SELECT iccid, label, status, state, state_since, imei, msisdn, ip_address, activated_at, quota_total_mb, remaining_mb, last_used_on, country,
       ends_on, changed_at
FROM core.sims_v1
WHERE iccid = %(name)s::text OR label = %(name)s::text
ORDER BY iccid LIMIT %(rows)s
