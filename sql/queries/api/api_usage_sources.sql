-- One row a source and grade of the usage of the newest as-of day, with how many SIMs. Index: sim_usage_by_day, chunk exclusion.
SELECT core.usage_source(source) AS source, grade::text AS grade, count(*) AS sims
FROM core.sim_usage
WHERE day = (SELECT max(as_of) FROM predictions.exhaustions)
GROUP BY 1, 2
ORDER BY 1, 2
