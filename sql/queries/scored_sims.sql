-- One row a SIM from %(first_key)s to %(last_key)s that is scored already as of a day by this version, and whose rows are still there: what it
-- was scored from. One pass over each table's part of that day, whatever the statistics say. Primary keys.
WITH there AS MATERIALIZED (
    SELECT sim_key, scoring_id FROM predictions.usage_forecasts
    WHERE %(part)s = 'usage_forecasts' AND as_of = %(as_of)s AND day = %(as_of)s::date + 1 AND sim_key BETWEEN %(first_key)s AND %(last_key)s
    UNION ALL
    SELECT sim_key, scoring_id FROM predictions.exhaustions
    WHERE %(part)s = 'exhaustions' AND as_of = %(as_of)s AND sim_key BETWEEN %(first_key)s AND %(last_key)s
), known AS MATERIALIZED (
    SELECT d.sim_key, d.scoring_id, d.input_hash
    FROM ops.scored_sims AS d JOIN predictions.scorings AS r USING (scoring_id)
    WHERE d.part = %(part)s AND d.as_of = %(as_of)s AND d.sim_key BETWEEN %(first_key)s AND %(last_key)s
      AND r.model_name = %(model_name)s AND r.model_version = %(model_version)s
)
SELECT k.sim_key, k.input_hash FROM known AS k JOIN there AS t USING (sim_key, scoring_id) ORDER BY k.sim_key;
