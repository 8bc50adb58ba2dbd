-- The scoring of this model version and day, if there is one.
SELECT scoring_id FROM predictions.scorings
WHERE model_name = %(model_name)s AND model_version = %(model_version)s AND as_of = %(as_of)s
ORDER BY scoring_id LIMIT 1;
