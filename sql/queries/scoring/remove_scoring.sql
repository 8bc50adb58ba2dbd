-- A scoring that changed no row is none.
DELETE FROM predictions.scorings WHERE scoring_id = %(scoring_id)s;
