-- Daily usage: a late correction replaces the day; what it replaces is kept when the day had ended before it was known.
-- Predictions that rest on what changed are marked stale. Only rows of the staged SIMs and days are looked at: primary key.
-- New rows need no ON CONFLICT, which would cost as much as the rest: loads of one organization wait for each other.
-- staged: sim_key integer, day date, bytes bigint, bytes_rx bigint, sms_mt smallint, sms_mo smallint, known_at timestamptz
-- by: sim_key, day
-- lock: usage
WITH differing AS MATERIALIZED (
    SELECT s.*, t.known_at AS old_known_at, t.bytes AS old_bytes, t.bytes_rx AS old_bytes_rx,
           t.sms_mt AS old_sms_mt, t.sms_mo AS old_sms_mo
    FROM staged AS s
    LEFT JOIN (
        SELECT * FROM core.sim_usage
        WHERE sim_key = ANY(%(sim_keys)s::integer[]) AND day BETWEEN %(first_day)s AND %(last_day)s
    ) AS t ON t.sim_key = s.sim_key AND t.day = s.day
    WHERE t.known_at IS NULL
       OR (s.known_at >= t.known_at
           AND (s.bytes <> t.bytes OR s.bytes_rx IS DISTINCT FROM t.bytes_rx
                OR s.sms_mt IS DISTINCT FROM t.sms_mt OR s.sms_mo IS DISTINCT FROM t.sms_mo))
), kept AS (
    INSERT INTO core.sim_usage_replaced
        (organization_id, sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_from, known_to)
    SELECT (SELECT ops.current_organization()),
           sim_key, day, old_bytes, old_bytes_rx, old_sms_mt, old_sms_mo, old_known_at, known_at
    FROM differing WHERE old_known_at >= (day + 1)::timestamp AT TIME ZONE 'UTC'
    ON CONFLICT (sim_key, day, known_from) DO NOTHING
), added AS (
    INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_at)
    SELECT (SELECT ops.current_organization()), sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_at
    FROM differing WHERE old_known_at IS NULL
), corrected AS (
    INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_at)
    SELECT (SELECT ops.current_organization()), sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_at
    FROM differing WHERE old_known_at IS NOT NULL
    ON CONFLICT (sim_key, day) DO UPDATE SET
        bytes = excluded.bytes, bytes_rx = excluded.bytes_rx, sms_mt = excluded.sms_mt, sms_mo = excluded.sms_mo,
        known_at = excluded.known_at
), touched AS (
    SELECT sim_key, min(day) AS first_day FROM differing WHERE bytes <> coalesce(old_bytes, 0) GROUP BY sim_key
), marked AS (
    INSERT INTO ops.stale_predictions AS p (organization_id, as_of, part, sims, first_day, marked_at)
    SELECT (SELECT ops.current_organization()), e.as_of, part, count(*), min(t.first_day), clock_timestamp()
    FROM touched AS t
    JOIN predictions.exhaustions AS e ON e.sim_key = t.sim_key AND e.as_of >= t.first_day
    CROSS JOIN (VALUES ('usage_forecasts'), ('exhaustions')) AS parts (part)
    WHERE e.sim_key = ANY(%(sim_keys)s::integer[]) AND e.as_of >= %(first_day)s
    GROUP BY e.as_of, part
    ON CONFLICT (organization_id, as_of, part) DO UPDATE SET
        sims = p.sims + excluded.sims, first_day = least(p.first_day, excluded.first_day), marked_at = excluded.marked_at
)
SELECT count(*) FILTER (WHERE old_known_at IS NULL) AS new, count(*) FILTER (WHERE old_known_at IS NOT NULL) AS changed,
       %(staged)s - count(*) AS unchanged
FROM differing;
