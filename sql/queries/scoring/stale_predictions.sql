-- As-of days from %(first)s on whose predictions are to be computed again, with the latest mark. Primary key.
SELECT as_of, max(sims) AS sims, min(first_day) AS first_day, max(marked_at) AS marked_at
FROM ops.stale_predictions WHERE as_of >= %(first)s
GROUP BY as_of ORDER BY as_of;
