-- One row a SIM after a given place, as api_sims, the least of what it is sorted by first and SIMs without it last, then by ICCID. To be used with
-- a part that says the places: api_places_by_remaining, api_places_by_ends_on or api_places_by_last_used.
-- Parameters: the last row seen as place double precision (-Infinity for the first page, Infinity for none) and after text (its ICCID, '');
-- label, status, state, country, operator, device (the first digits of the IMEI) and risk (level of churn) text, ends_by date, NULL each for any;
-- rows integer.
-- Index: the part's, walked until enough SIMs are found; look-ups by primary keys for each.
SELECT iccid, imei, msisdn, ip_address, label, status, activated_at, quota_status,
       (quota_total_mb * 1000000)::bigint AS quota_total, changed_at, state, state_since,
       (remaining_mb * 1000000)::bigint AS remaining, last_used_on, country, ends_on, place
FROM (
{part}
) AS p
JOIN core.sims_v1 USING (organization_id, iccid)
WHERE (place, iccid) > (%(place)s::double precision, %(after)s::text)
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
ORDER BY place, iccid
LIMIT %(rows)s::integer
