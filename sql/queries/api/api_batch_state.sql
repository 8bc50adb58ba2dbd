-- One row a SIM of a list, as api_sim. sim: its ICCID. Parameters: iccids text[]. Index: sims_organization_id_iccid_key.
SELECT iccid, imei, msisdn, ip_address, label, status, activated_at, quota_status,
       (quota_total_mb * 1000000)::bigint AS quota_total, changed_at, state, state_since,
       (remaining_mb * 1000000)::bigint AS remaining, last_used_on, country, ends_on, iccid AS sim
FROM core.sims_v1
WHERE iccid = ANY (%(iccids)s::text[])
