-- One row a SIM after a given place, as api_sims, the least of what it is sorted by first and SIMs without it last, then by ICCID.
-- Parameters: sort text, remaining, ends_on or last_used; the last row seen as place double precision (-Infinity for the first page, Infinity
-- for none) and after text (its ICCID, ''); label, status, state, country, operator, device (the first digits of the IMEI) and risk (level of
-- churn) text, ends_by date, NULL each for any; rows integer.
-- No index has these orders, as each value is the newest of many: every page looks at all SIMs that the conditions leave, one look-up by a
-- primary key for each. The other columns are looked up for the rows of the page alone.
WITH places AS MATERIALIZED (
    SELECT iccid, coalesce((CASE %(sort)s::text
        WHEN 'remaining' THEN (remaining_mb * 1000000)::double precision
        WHEN 'ends_on' THEN (ends_on - date '2000-01-01')::double precision
        WHEN 'last_used' THEN (last_used_on - date '2000-01-01')::double precision END), 'Infinity') AS place
    FROM core.sims_v1
    WHERE true
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
), page AS (
    SELECT iccid, place FROM places
    WHERE (place, iccid) > (%(place)s::double precision, %(after)s::text)
    ORDER BY place, iccid LIMIT %(rows)s
)
SELECT iccid, imei, msisdn, ip_address, label, status, activated_at, quota_status,
       (quota_total_mb * 1000000)::bigint AS quota_total, changed_at, state, state_since,
       (remaining_mb * 1000000)::bigint AS remaining, last_used_on, country, ends_on, place
FROM page JOIN core.sims_v1 USING (iccid)
ORDER BY place, iccid
