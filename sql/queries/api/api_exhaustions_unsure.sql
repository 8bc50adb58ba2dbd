-- One row a SIM whose history gives no probability, in the order of ICCIDs.
-- Parameters: as_of date, iccid text (the last one seen, '' for the first page), rows integer. Index: exhaustions_by_as_of.
SELECT iccid, label, status, cause, p_7, p_14, p_30, p10_date, p50_date, p90_date, remaining, expires_on,
       model_name, model_version, run_id, as_of, created_at, data_age_hours, data_grade,
       p_90, topup_date, topups_30, p_limit, limit_date, sms_remaining, sms_status, sms_p_7, sms_p_14, sms_p_30, sms_p_90,
       sms_p10_date, sms_p50_date, sms_p90_date
FROM predictions.exhaustions_v1
WHERE as_of = %(as_of)s AND p_14 IS NULL AND iccid > %(iccid)s::text
ORDER BY iccid
LIMIT %(rows)s
