-- Whether this database has incidents (predictions.incidents).
SELECT to_regclass('predictions.incidents') IS NOT NULL AS available
