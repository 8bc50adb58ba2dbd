-- Events: one row an event.
-- staged: sim_key integer, occurred_at timestamptz, event_type text, severity text, alert boolean, imei text, imsi text, country text, operator text
WITH compared AS (
    SELECT s.*, t.sim_key IS NULL AS is_new,
           t.sim_key IS NOT NULL
               AND (s.severity, s.alert, s.imei, s.imsi, s.country, s.operator)
               IS DISTINCT FROM (t.severity, t.alert, t.imei, t.imsi, t.country, t.operator) AS is_changed
    FROM staged AS s LEFT JOIN own.sim_events AS t ON t.sim_key = s.sim_key AND t.occurred_at = s.occurred_at AND t.event_type = s.event_type
), written AS (
    INSERT INTO own.sim_events (organization_id, sim_key, occurred_at, event_type, severity, alert, imei, imsi, country, operator)
    SELECT (SELECT ops.current_organization()), sim_key, occurred_at, event_type, severity, alert, imei, imsi, country, operator
    FROM compared WHERE is_new OR is_changed
    ON CONFLICT (sim_key, occurred_at, event_type) DO UPDATE SET
        severity = excluded.severity,
        alert = excluded.alert,
        imei = excluded.imei,
        imsi = excluded.imsi,
        country = excluded.country,
        operator = excluded.operator
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
