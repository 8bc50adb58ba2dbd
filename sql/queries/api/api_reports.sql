-- One row a fleet report before a given day, the newest first. Parameters: before date or NULL, rows integer. Index: reports_pkey.
SELECT as_of, created_at, '/v1/report?as_of=' || as_of AS href
FROM predictions.reports
WHERE as_of < CASE WHEN %(before)s::date IS NOT NULL THEN %(before)s::date ELSE 'infinity'::date END
ORDER BY as_of DESC
LIMIT %(rows)s
