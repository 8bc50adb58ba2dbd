-- The customer's own names for SIMs; an empty one takes the name away. Counts: new where there was none before.
-- staged: sim_key integer, own_label text, known_at timestamptz
WITH compared AS (
    SELECT s.*, t.own_label IS NULL AND s.own_label IS NOT NULL AS is_new,
           t.own_label IS NOT NULL AND t.own_label IS DISTINCT FROM s.own_label AS is_changed
    FROM staged AS s JOIN core.sims AS t USING (sim_key)
), written AS (
    UPDATE core.sims AS t SET own_label = c.own_label, changed_at = c.known_at
    FROM compared AS c WHERE t.sim_key = c.sim_key AND (c.is_new OR c.is_changed)
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
