-- The SIMs whose risk as of %(as_of)s (NULL: the latest day) is worth most, at most %(rows)s: by risk x value at stake x what can be done, then the
-- risk. level, cause: NULL for any. total: how many there are. Index churn_risks_by_as_of.
SELECT iccid, label, as_of, risk_level, cause, p_30, p_90, any_end, value_minor, currency, worth, reasons, action, held_out, decision, learnt_from,
       count(*) OVER () AS total
FROM predictions.churn_risks_v1
WHERE as_of = coalesce(%(as_of)s::date, (SELECT max(as_of) FROM predictions.churn_risks))
    AND (%(level)s::text IS NULL OR risk_level = %(level)s::text) AND (%(cause)s::text IS NULL OR cause = %(cause)s::text)
ORDER BY worth DESC, p_90 DESC, iccid
LIMIT %(rows)s;
