-- One row a SIM after a given ICCID, in the order of ICCIDs.
-- Parameters: after text ('' for the first page), label, status and state text or NULL for any, rows integer.
-- Index: sims_organization_id_iccid_key; sim_states_by_state for a rare state.
SELECT iccid, imei, msisdn, ip_address, label, status, activated_at, quota_status,
       (quota_total_mb * 1000000)::bigint AS quota_total, changed_at, state, state_since,
       (remaining_mb * 1000000)::bigint AS remaining, last_used_on, country, ends_on
FROM core.sims_v1
WHERE iccid > %(after)s::text
  AND (%(label)s::text IS NULL OR label = %(label)s::text)
  AND (%(status)s::text IS NULL OR status = %(status)s::text)
  AND (%(state)s::text IS NULL OR state = %(state)s::text)
ORDER BY iccid
LIMIT %(rows)s
