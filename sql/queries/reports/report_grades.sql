-- exhaustion_counts of the SIMs with the keys %(sims)s (NULL: all) as of %(as_of)s. Index exhaustions_by_as_of.
SELECT status, substr('ABCD', data_grade, 1) AS data_grade, count(*) AS sims FROM predictions.exhaustions
WHERE as_of = %(as_of)s AND (%(sims)s::integer[] IS NULL OR sim_key = ANY(%(sims)s::integer[]))
GROUP BY 1, 2 ORDER BY 1, 2;
