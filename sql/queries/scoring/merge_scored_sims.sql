-- What SIMs were scored from, one row a kind of prediction, as-of day and SIM, with the scoring that its rows carry: rows whose values are
-- the same as before keep theirs. One primary key a SIM: fresh tables have no statistics, and a join could look at every pair.
-- staged: part text, as_of date, sim_key integer, scoring_id integer, input_hash bigint
WITH written AS (
    INSERT INTO ops.scored_sims (organization_id, part, as_of, sim_key, scoring_id, input_hash)
    SELECT (SELECT ops.current_organization()), part, as_of, sim_key, coalesce(
        CASE part
            WHEN 'usage_forecasts' THEN (
                SELECT f.scoring_id FROM own.usage_forecasts AS f
                WHERE f.sim_key = staged.sim_key AND f.as_of = staged.as_of AND f.day = staged.as_of + 1)
            WHEN 'exhaustions' THEN (
                SELECT e.scoring_id FROM predictions.exhaustions AS e WHERE e.sim_key = staged.sim_key AND e.as_of = staged.as_of)
            WHEN 'churn_risks' THEN (
                SELECT c.scoring_id FROM predictions.churn_risks AS c WHERE c.sim_key = staged.sim_key AND c.as_of = staged.as_of)
        END, scoring_id), input_hash
    FROM staged
    ON CONFLICT (part, as_of, sim_key) DO UPDATE SET scoring_id = excluded.scoring_id, input_hash = excluded.input_hash
    RETURNING xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE NOT is_new) AS changed, 0::bigint AS unchanged FROM written;
