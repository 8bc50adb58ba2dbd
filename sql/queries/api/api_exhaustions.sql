-- One row a SIM: live ones first, the soonest end first, then p_14 falling, then as they were first seen. ends_on: the median date; the day of
-- expiry where only that is sure; 'infinity' for none.
-- Parameters: as_of date or NULL for the latest; statuses text[]; cause and label text or NULL for any; the last row seen as ended boolean, ends_on text, p_14
-- double precision (-1 for none) and iccid text (false, '-infinity', 2 and '' for the first page); rows integer.
-- Index: exhaustions_by_as_of, by its very expressions, for each part of what comes after the last row: nothing is sorted but these parts' first
-- rows. CASE and not coalesce: row-level security would keep coalesce out of the condition.
WITH day AS MATERIALIZED (
    SELECT CASE WHEN %(as_of)s::date IS NOT NULL THEN %(as_of)s::date ELSE (SELECT max(as_of) FROM predictions.exhaustions) END AS as_of
), last AS MATERIALIZED (
    SELECT coalesce((SELECT sim_key FROM core.sims WHERE iccid = %(iccid)s::text), 0) AS sim_key
), placed AS NOT MATERIALIZED (
    SELECT e.*, e.status IN ('exhausted', 'expired') AS ended,
           CASE WHEN e.status = 'not_enough_evidence' AND e.p_30 = 1 AND e.expires_on IS NOT NULL THEN e.expires_on
                WHEN e.p50_date IS NULL THEN 'infinity'::date
                ELSE e.p50_date END AS ends_on,
           CASE WHEN e.p_14 IS NULL THEN -1 ELSE e.p_14 END AS likely
    FROM predictions.exhaustions AS e
    WHERE e.as_of = (SELECT as_of FROM day)
      AND e.status = ANY (%(statuses)s::text[])
      AND (%(cause)s::text IS NULL OR e.cause = %(cause)s::text)
      AND (%(label)s::text IS NULL OR EXISTS (
          SELECT FROM core.sims AS s WHERE s.sim_key = e.sim_key AND coalesce(s.own_label, s.label) = %(label)s::text))
), page AS MATERIALIZED (
    (
        SELECT * FROM placed
        WHERE ended = %(ended)s::boolean AND ends_on = %(ends_on)s::date
          AND likely <= %(p_14)s::double precision AND likely >= %(p_14)s::double precision AND sim_key > (SELECT sim_key FROM last)
        ORDER BY ended, ends_on, likely DESC, sim_key LIMIT %(rows)s
    ) UNION ALL (
        SELECT * FROM placed
        WHERE ended = %(ended)s::boolean AND ends_on = %(ends_on)s::date AND likely < %(p_14)s::double precision
        ORDER BY ended, ends_on, likely DESC, sim_key LIMIT %(rows)s
    ) UNION ALL (
        SELECT * FROM placed WHERE (ended, ends_on) > (%(ended)s::boolean, %(ends_on)s::date)
        ORDER BY ended, ends_on, likely DESC, sim_key LIMIT %(rows)s
    )
    ORDER BY ended, ends_on, likely DESC, sim_key
    LIMIT %(rows)s
)
SELECT r.model_name, r.model_version, r.run_id, p.as_of, r.created_at, p.data_age_hours, substr('ABCD', p.data_grade, 1) AS data_grade,
       s.iccid, coalesce(s.own_label, s.label) AS label, p.status, p.cause, p.p_7, p.p_14, p.p_30, p.p10_date, p.p50_date, p.p90_date, p.remaining, p.expires_on,
       p.p_90, p.topup_date, p.topups_30, p.p_limit, p.limit_date, p.sms_remaining, p.sms_status, p.sms_p_7, p.sms_p_14, p.sms_p_30, p.sms_p_90,
       p.sms_p10_date, p.sms_p50_date, p.sms_p90_date, p.ended, p.ends_on::text AS ends_on
FROM page AS p
JOIN core.sims AS s USING (sim_key)
JOIN predictions.scorings AS r USING (scoring_id)
ORDER BY p.ended, p.ends_on, p.likely DESC, p.sim_key
