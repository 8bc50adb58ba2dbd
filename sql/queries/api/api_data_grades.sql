-- One row a data grade of the newest predictions: its letter and how many SIMs have it. Index: exhaustions_by_as_of.
SELECT substr('ABCD', data_grade, 1) AS grade, count(*) AS sims
FROM predictions.exhaustions
WHERE as_of = (SELECT max(as_of) FROM predictions.exhaustions) AND data_grade IS NOT NULL
GROUP BY data_grade
ORDER BY data_grade
