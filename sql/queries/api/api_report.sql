-- One row: the fleet report as of one day. Parameters: as_of date or NULL for the latest. Index: reports_pkey.
-- CASE and not coalesce: row-level security would keep coalesce out of the index condition, as not known to be leakproof.
SELECT as_of, html
FROM predictions.reports
WHERE as_of = CASE WHEN %(as_of)s::date IS NOT NULL THEN %(as_of)s::date ELSE (SELECT max(as_of) FROM predictions.reports) END
