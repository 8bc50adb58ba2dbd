-- SMS: one row a message; its status may still change.
-- staged: sim_key integer, sms_id bigint, submitted_at timestamptz, delivered_at timestamptz, final_at timestamptz, direction text, status text
WITH compared AS (
    SELECT s.*, t.sim_key IS NULL AS is_new,
           t.sim_key IS NOT NULL
               AND (s.submitted_at, s.delivered_at, s.final_at, s.direction, s.status)
               IS DISTINCT FROM (t.submitted_at, t.delivered_at, t.final_at, t.direction, t.status) AS is_changed
    FROM staged AS s LEFT JOIN core.sim_sms AS t ON t.sim_key = s.sim_key AND t.sms_id = s.sms_id
), written AS (
    INSERT INTO core.sim_sms (organization_id, sim_key, sms_id, submitted_at, delivered_at, final_at, direction, status)
    SELECT (SELECT ops.current_organization()), sim_key, sms_id, submitted_at, delivered_at, final_at, direction, status
    FROM compared WHERE is_new OR is_changed
    ON CONFLICT (sim_key, sms_id) DO UPDATE SET
        submitted_at = excluded.submitted_at,
        delivered_at = excluded.delivered_at,
        final_at = excluded.final_at,
        direction = excluded.direction,
        status = excluded.status
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
