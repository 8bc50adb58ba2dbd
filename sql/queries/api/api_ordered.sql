-- One row a SIM that is in an order for new SIMs and not in the SIM list, after a given ICCID, in the order of ICCIDs; as api_sims.
-- Parameters: after text ('' for the first page), iccid text or NULL for any, label and status text (an ordered SIM has neither), rows
-- integer. It looks through the orders.
SELECT iccid, NULL AS imei, NULL AS msisdn, NULL AS ip_address, label, NULL AS status, NULL::timestamptz AS activated_at,
       NULL::smallint AS quota_status, NULL::bigint AS quota_total, decided_at AS changed_at, state, since AS state_since,
       NULL::bigint AS remaining, NULL::date AS last_used_on, NULL AS country, NULL::date AS ends_on
FROM core.sim_states_v1
WHERE state = 'ordered' AND iccid > %(after)s::text AND (%(iccid)s::text IS NULL OR iccid = %(iccid)s::text)
  AND %(label)s::text IS NULL AND %(status)s::text IS NULL
ORDER BY iccid
LIMIT %(rows)s
