-- One row a SIM: the highest risk within 90 days first, then ICCID.
-- Parameters: as_of date or NULL for the latest; level, cause and label text or NULL for any; the last row seen as p_90 double precision and
-- iccid text (2 and '' for the first page); rows integer. Index: churn_risks_by_as_of.
SELECT iccid, label, as_of, p_30, p_60, p_90, p_180, p_dead_device, p_switched_off, p_swapped, p_exhausted, p_expired, any_end,
       risk_level, cause, reasons, contributions, action, held_out, value_minor, currency, worth, decision, decision_reason, decided_by, decided_at,
       model_name, model_version, learnt_from, run_id, created_at
FROM predictions.churn_risks_v1
WHERE as_of = CASE WHEN %(as_of)s::date IS NOT NULL THEN %(as_of)s::date ELSE (SELECT max(as_of) FROM predictions.churn_risks) END
  AND p_90 <= %(p_90)s::double precision
  AND (p_90 < %(p_90)s::double precision OR iccid > %(iccid)s::text)
  AND (%(level)s::text IS NULL OR risk_level = %(level)s::text)
  AND (%(cause)s::text IS NULL OR cause = %(cause)s::text)
  AND (%(label)s::text IS NULL OR label = %(label)s::text)
ORDER BY p_90 DESC, iccid
LIMIT %(rows)s
