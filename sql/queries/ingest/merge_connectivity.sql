-- Connectivity: one row a SIM and day; a later observation of the day replaces an earlier one.
-- staged: sim_key integer, day date, observed_at timestamptz, status text, operator text, country text, rat_type text, located_at timestamptz
WITH compared AS (
    SELECT s.*, t.sim_key IS NULL AS is_new,
           t.sim_key IS NOT NULL AND s.observed_at >= t.observed_at
               AND (s.status, s.operator, s.country, s.rat_type, s.located_at)
               IS DISTINCT FROM (t.status, t.operator, t.country, t.rat_type, t.located_at) AS is_changed
    FROM staged AS s LEFT JOIN own.sim_connectivity AS t ON t.sim_key = s.sim_key AND t.day = s.day
), written AS (
    INSERT INTO own.sim_connectivity (organization_id, sim_key, day, status, operator, country, rat_type, located_at, observed_at)
    SELECT (SELECT ops.current_organization()), sim_key, day, status, operator, country, rat_type, located_at, observed_at
    FROM compared WHERE is_new OR is_changed
    ON CONFLICT (sim_key, day) DO UPDATE SET
        status = excluded.status,
        operator = excluded.operator,
        country = excluded.country,
        rat_type = excluded.rat_type,
        located_at = excluded.located_at,
        observed_at = excluded.observed_at
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
