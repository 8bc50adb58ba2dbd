-- One row a SIM from %(first_key)s to %(last_key)s that is scored already as of a day by this version, and whose rows are still there: what it
-- was scored from. Primary keys.
SELECT d.sim_key, d.input_hash
FROM ops.scored_sims AS d JOIN predictions.scorings AS r USING (scoring_id)
WHERE d.part = %(part)s AND d.as_of = %(as_of)s AND d.sim_key BETWEEN %(first_key)s AND %(last_key)s
  AND r.model_name = %(model_name)s AND r.model_version = %(model_version)s
  AND CASE d.part
      WHEN 'usage_forecasts' THEN EXISTS (
          SELECT FROM predictions.usage_forecasts AS f
          WHERE f.sim_key = d.sim_key AND f.as_of = d.as_of AND f.day = d.as_of + 1 AND f.scoring_id = d.scoring_id)
      ELSE EXISTS (
          SELECT FROM predictions.exhaustions AS e
          WHERE e.sim_key = d.sim_key AND e.as_of = d.as_of AND e.scoring_id = d.scoring_id)
      END
ORDER BY d.sim_key;
