-- One row a SIM: live ones first, the soonest end first, then p_14 falling, then ICCID. ends_on: the median date; the day of expiry where only
-- that is sure; 'infinity' for none.
-- Parameters: as_of date or NULL for the latest; statuses text[]; cause and label text or NULL for any; the last row seen as ended boolean, ends_on text, p_14
-- double precision (-1 for none) and iccid text (false, '-infinity', 2 and '' for the first page); rows integer.
-- Index: exhaustions_by_as_of, by its very expressions. CASE and not coalesce: row-level security would keep coalesce out of the condition.
SELECT e.model_name, e.model_version, e.run_id, e.as_of, e.created_at, e.data_age_hours, e.data_grade,
       e.iccid, e.label, e.status, e.cause, e.p_7, e.p_14, e.p_30, e.p10_date, e.p50_date, e.p90_date, e.remaining, e.expires_on,
       e.p_90, e.topup_date, e.topups_30, e.p_limit, e.limit_date, e.sms_remaining, e.sms_status, e.sms_p_7, e.sms_p_14, e.sms_p_30, e.sms_p_90,
       e.sms_p10_date, e.sms_p50_date, e.sms_p90_date, o.ended, o.ends_on::text AS ends_on
FROM predictions.exhaustions_v1 AS e
CROSS JOIN LATERAL (
    SELECT e.status IN ('exhausted', 'expired') AS ended,
           CASE WHEN e.status = 'not_enough_evidence' AND e.p_30 = 1 AND e.expires_on IS NOT NULL THEN e.expires_on
                WHEN e.p50_date IS NULL THEN 'infinity'::date
                ELSE e.p50_date END AS ends_on
) AS o
WHERE e.as_of = CASE WHEN %(as_of)s::date IS NOT NULL THEN %(as_of)s::date ELSE (SELECT max(as_of) FROM predictions.exhaustions) END
  AND (o.ended, o.ends_on) >= (%(ended)s::boolean, %(ends_on)s::date)
  AND ((o.ended, o.ends_on) > (%(ended)s::boolean, %(ends_on)s::date)
       OR coalesce(e.p_14, -1) < %(p_14)s::double precision
       OR (coalesce(e.p_14, -1) = %(p_14)s::double precision AND e.iccid > %(iccid)s::text))
  AND e.status = ANY (%(statuses)s::text[])
  AND (%(cause)s::text IS NULL OR e.cause = %(cause)s::text)
  AND (%(label)s::text IS NULL OR e.label = %(label)s::text)
ORDER BY o.ended, o.ends_on, coalesce(e.p_14, -1) DESC, e.iccid
LIMIT %(rows)s
