-- The last as-of day the built-in alerts were evaluated for; NULL when never.
SELECT max(greatest(seen_as_of, closed_as_of)) AS as_of FROM predictions.alerts WHERE kind NOT IN ('rule', 'incident', 'anomaly');
