-- One row a SIM after a given ICCID, in the order of ICCIDs, as api_sims by more conditions.
-- Parameters: after text ('' for the first page); label, status, state, country, operator, device (the first digits of the IMEI) and risk (level of
-- churn) text, ends_by date, NULL each for any; rows integer.
-- Index: sims_organization_id_iccid_key, walked until enough SIMs are found; one look-up a SIM by primary keys for what it is chosen by.
SELECT iccid, imei, msisdn, ip_address, label, status, activated_at, quota_status,
       (quota_total_mb * 1000000)::bigint AS quota_total, changed_at, state, state_since,
       (remaining_mb * 1000000)::bigint AS remaining, last_used_on, country, ends_on
FROM core.sims_v1
WHERE iccid > %(after)s::text
  AND (%(label)s::text IS NULL OR label = %(label)s::text)
  AND (%(status)s::text IS NULL OR status = %(status)s::text)
  AND (%(state)s::text IS NULL OR state = %(state)s::text)
  AND (%(device)s::text IS NULL OR starts_with(imei, %(device)s::text))
  AND (%(country)s::text IS NULL OR country = %(country)s::text)
  AND (%(operator)s::text IS NULL OR operator = %(operator)s::text)
  AND (%(ends_by)s::date IS NULL OR ends_on <= %(ends_by)s::date)
  AND (%(risk)s::text IS NULL OR iccid IN (
      SELECT c.iccid FROM predictions.churn_risks_v1 AS c
      WHERE c.as_of = (SELECT max(as_of) FROM predictions.churn_risks) AND c.risk_level = %(risk)s::text))
ORDER BY iccid
LIMIT %(rows)s
