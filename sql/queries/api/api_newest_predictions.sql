-- One row: the newest as-of day and when its predictions were made; NULL without any. Index: exhaustions_by_as_of.
SELECT l.as_of, (SELECT max(r.created_at) FROM predictions.scorings AS r WHERE r.as_of = l.as_of) AS predicted_at
FROM (SELECT max(as_of) AS as_of FROM predictions.exhaustions) AS l
