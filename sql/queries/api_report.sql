-- One row: the fleet report as of one day. Parameters: as_of date or NULL for the latest. Index: reports_pkey.
SELECT as_of, html
FROM predictions.reports
WHERE as_of = coalesce(%(as_of)s::date, (SELECT max(as_of) FROM predictions.reports))
