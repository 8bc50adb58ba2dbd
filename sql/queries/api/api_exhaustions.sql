-- One row a SIM with a probability of ending within 14 days, most urgent first: p_14 falling, then median date, then ICCID.
-- Parameters: as_of date; the last row seen as p_14 double precision, p50_date text ('infinity' for none) and iccid text
-- (2, 'infinity' and '' for the first page); rows integer. Index: exhaustions_by_as_of, sorted on within equal p_14.
SELECT iccid, label, status, cause, p_7, p_14, p_30, p10_date, p50_date, p90_date, remaining, expires_on,
       model_name, model_version, run_id, as_of, created_at, data_age_hours, data_grade,
       p_90, topup_date, topups_30, p_limit, limit_date, sms_remaining, sms_status, sms_p_7, sms_p_14, sms_p_30, sms_p_90,
       sms_p10_date, sms_p50_date, sms_p90_date
FROM predictions.exhaustions_v1
WHERE as_of = %(as_of)s
  AND p_14 <= %(p_14)s::double precision
  AND (p_14 < %(p_14)s::double precision
       OR (coalesce(p50_date, 'infinity'), iccid) > (%(p50_date)s::date, %(iccid)s::text))
ORDER BY p_14 DESC, coalesce(p50_date, 'infinity'), iccid
LIMIT %(rows)s
