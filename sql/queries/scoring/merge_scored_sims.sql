-- What SIMs were scored from, one row a kind of prediction, as-of day and SIM.
-- staged: part text, as_of date, sim_key integer, scoring_id integer, input_hash bigint
WITH written AS (
    INSERT INTO ops.scored_sims (organization_id, part, as_of, sim_key, scoring_id, input_hash)
    SELECT ops.current_organization(), part, as_of, sim_key, scoring_id, input_hash FROM staged
    ON CONFLICT (part, as_of, sim_key) DO UPDATE SET scoring_id = excluded.scoring_id, input_hash = excluded.input_hash
    RETURNING xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE NOT is_new) AS changed, 0::bigint AS unchanged FROM written;
