-- Daily usage: a late correction replaces the day; what it replaces is kept when the day had ended before it was known.
-- staged: sim_key integer, day date, bytes bigint, bytes_rx bigint, sms_mt smallint, sms_mo smallint, known_at timestamptz
WITH compared AS (
    SELECT s.*, t.sim_key IS NULL AS is_new,
           t.sim_key IS NOT NULL AND s.known_at >= t.known_at
               AND (s.bytes, s.bytes_rx, s.sms_mt, s.sms_mo)
               IS DISTINCT FROM (t.bytes, t.bytes_rx, t.sms_mt, t.sms_mo) AS is_changed,
           t.bytes AS old_bytes, t.bytes_rx AS old_bytes_rx, t.sms_mt AS old_sms_mt, t.sms_mo AS old_sms_mo,
           t.known_at AS old_known_at
    FROM staged AS s LEFT JOIN core.sim_usage AS t ON t.sim_key = s.sim_key AND t.day = s.day
), kept AS (
    INSERT INTO core.sim_usage_replaced
        (organization_id, sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_from, known_to)
    SELECT ops.current_organization(), sim_key, day, old_bytes, old_bytes_rx, old_sms_mt, old_sms_mo, old_known_at, known_at
    FROM compared WHERE is_changed AND old_known_at >= (day + 1)::timestamp AT TIME ZONE 'UTC'
    ON CONFLICT (sim_key, day, known_from) DO NOTHING
), written AS (
    INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_at)
    SELECT ops.current_organization(), sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_at
    FROM compared WHERE is_new OR is_changed
    ORDER BY sim_key, day  -- in the order of the key, whose index then stays dense
    ON CONFLICT (sim_key, day) DO UPDATE SET
        bytes = excluded.bytes, bytes_rx = excluded.bytes_rx, sms_mt = excluded.sms_mt, sms_mo = excluded.sms_mo,
        known_at = excluded.known_at
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
