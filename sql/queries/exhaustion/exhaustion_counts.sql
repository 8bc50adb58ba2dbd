-- One row a status and grade of data (A to D): SIMs as of %(as_of)s. Index exhaustions_by_as_of.
SELECT status, substr('ABCD', data_grade, 1) AS data_grade, count(*) AS sims
FROM predictions.exhaustions WHERE as_of = %(as_of)s
GROUP BY 1, 2 ORDER BY 1, 2;
