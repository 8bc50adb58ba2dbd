-- One row a SIM after a given ICCID, in the order of ICCIDs. Parameters: after text ('' for the first page); state, label and status text or NULL for
-- any; words text, what ICCID, label, IMEI, MSISDN or IP address contain, or NULL; rows integer.
SELECT iccid, label, state, status, country, last_used_on, remaining_mb, quota_total_mb, ends_on
FROM core.sims_v1
WHERE iccid > %(after)s::text
  AND (%(state)s::text IS NULL OR state = %(state)s::text)
  AND (%(label)s::text IS NULL OR label = %(label)s::text)
  AND (%(status)s::text IS NULL OR status = %(status)s::text)
  AND (%(words)s::text IS NULL OR position(lower(%(words)s::text) IN lower(concat_ws(' ', iccid, label, imei, msisdn, ip_address))) > 0)
ORDER BY iccid
LIMIT %(rows)s
