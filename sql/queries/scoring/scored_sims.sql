-- One row a SIM from %(first_key)s to %(last_key)s that is scored already as of a day by this version, and whose rows are still there: what it
-- was scored from. Counted rather than joined: fresh tables have no statistics, and a join would then look at every pair. Primary keys.
WITH scored AS (
    SELECT d.sim_key, d.scoring_id, d.input_hash
    FROM ops.scored_sims AS d JOIN predictions.scorings AS r USING (scoring_id)
    WHERE d.part = %(part)s AND d.as_of = %(as_of)s AND d.sim_key BETWEEN %(first_key)s AND %(last_key)s
      AND r.model_name = %(model_name)s AND r.model_version = %(model_version)s
    UNION ALL
    SELECT sim_key, scoring_id, NULL FROM own.usage_forecasts
    WHERE %(part)s = 'usage_forecasts' AND as_of = %(as_of)s AND day - as_of = 1 AND sim_key BETWEEN %(first_key)s AND %(last_key)s
    UNION ALL
    SELECT sim_key, scoring_id, NULL FROM predictions.exhaustions
    WHERE %(part)s = 'exhaustions' AND as_of = %(as_of)s AND sim_key BETWEEN %(first_key)s AND %(last_key)s
    UNION ALL
    SELECT sim_key, scoring_id, NULL FROM predictions.churn_risks
    WHERE %(part)s = 'churn_risks' AND as_of = %(as_of)s AND sim_key BETWEEN %(first_key)s AND %(last_key)s
)
SELECT sim_key, max(input_hash) AS input_hash FROM scored
GROUP BY sim_key, scoring_id HAVING count(*) = 2 AND count(input_hash) = 1
ORDER BY sim_key;
