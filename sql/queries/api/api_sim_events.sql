-- One row an event of a SIM before a given one, the newest first.
-- Parameters: iccid text; at timestamptz and event_type text of the last row seen ('infinity' and '' for the first page); severity text or
-- NULL for any; rows integer. Indexes: sims_organization_id_iccid_key, sim_events_pkey.
SELECT occurred_at, event_type, severity, alert, imei, country, operator
FROM core.sim_events_v1
WHERE iccid = %(iccid)s::text
  AND occurred_at <= %(at)s::timestamptz
  AND (occurred_at < %(at)s::timestamptz OR event_type > %(event_type)s::text)
  AND (%(severity)s::text IS NULL OR severity = %(severity)s::text)
ORDER BY occurred_at DESC, event_type
LIMIT %(rows)s
