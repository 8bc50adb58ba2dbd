-- One row: the newest as-of day of predictions.
SELECT max(as_of) AS as_of FROM predictions.scorings
