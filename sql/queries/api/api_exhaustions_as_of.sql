-- One row: the latest day the fleet was scored as of; NULL when it never was. Index: exhaustions_by_as_of (its end).
SELECT max(as_of) AS as_of FROM predictions.exhaustions
