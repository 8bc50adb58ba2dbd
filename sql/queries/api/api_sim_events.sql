-- One row an event of a SIM before a given one, the newest first.
-- Parameters: iccid text; at timestamptz and event_type text of the last row seen ('infinity' and '' for the first page); type and severity
-- text, first and last date (UTC days), NULL each for any; rows integer. Indexes: sims_organization_id_iccid_key, sim_events_pkey.
SELECT occurred_at, iccid, event_type, severity, alert, imei, country, operator
FROM core.sim_events_v1
WHERE iccid = %(iccid)s::text
  AND occurred_at <= %(at)s::timestamptz
  AND (occurred_at < %(at)s::timestamptz OR event_type > %(event_type)s::text)
  AND occurred_at >= coalesce(%(first)s::date::timestamp AT TIME ZONE 'UTC', '-infinity')
  AND occurred_at < coalesce((%(last)s::date + 1)::timestamp AT TIME ZONE 'UTC', 'infinity')
  AND (%(type)s::text IS NULL OR event_type = %(type)s::text)
  AND (%(severity)s::text IS NULL OR severity = %(severity)s::text)
ORDER BY occurred_at DESC, event_type
LIMIT %(rows)s
