-- Which SIMs a pass has asked, and what went wrong.
-- staged: sim_key integer, source text, sweep_id bigint, polled_at timestamptz, covered_to date, problem text
WITH written AS (
    INSERT INTO ops.polls AS p (organization_id, sim_key, source, sweep_id, polled_at, covered_to, problem, answered_at)
    SELECT (SELECT ops.current_organization()), sim_key, source, sweep_id, polled_at, covered_to, problem,
           CASE WHEN problem IS NULL THEN polled_at END
    FROM staged
    ON CONFLICT (sim_key, source) DO UPDATE SET
        sweep_id = excluded.sweep_id, polled_at = excluded.polled_at,
        covered_to = greatest(p.covered_to, excluded.covered_to), problem = excluded.problem,
        answered_at = coalesce(excluded.answered_at, p.answered_at)
)
SELECT 0 AS new, count(*) AS changed, 0 AS unchanged FROM staged;
