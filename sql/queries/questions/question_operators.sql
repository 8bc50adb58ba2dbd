-- The operators of the organization, at most 20, for telling which there are.
SELECT DISTINCT operator
FROM core.sims_v1
WHERE operator IS NOT NULL
ORDER BY operator
LIMIT 20
