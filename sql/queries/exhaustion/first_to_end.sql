-- The SIMs that end first as of the latest scoring: not ended yet, with the likeliest end within two weeks first.
SELECT iccid, label, cause, p_14, p50_date, p10_date, p90_date, remaining
FROM predictions.exhaustions_v1
WHERE as_of = (SELECT max(as_of) FROM predictions.exhaustions) AND status IN ('ok', 'extrapolated') AND p50_date IS NOT NULL
ORDER BY p50_date, p_14 DESC, iccid LIMIT %(top)s;
