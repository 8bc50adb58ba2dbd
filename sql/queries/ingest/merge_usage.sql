-- Daily usage from any source: the best one of a SIM-day stays (core.usage_rank); of the same one the later value. What an ended day
-- was replaced by another is kept. The usage call's answer for a day that had not ended is preliminary: while the call does not cover
-- the day, a whole day of the stream, more of the stream, or a look at the quota replaces it. Stream and quota are laid out together, and
-- again whenever one of them says more: of their days the later layout stands.
-- Predictions that rest on what changed are marked stale, totals of days are kept, and days of stream and quota beside one that a file or the call tells are to be laid out again.
-- Only rows of the staged SIMs and days are looked at: primary key. New rows need no ON CONFLICT, which would cost as much as the
-- rest: loads of one organization wait for each other.
-- Frames say call, file, stream or quota: a "char" takes the first letter of the word.
-- staged: sim_key integer, day date, bytes bigint, bytes_rx bigint, sms_mt smallint, sms_mo smallint, known_at timestamptz, source "char", grade "char", spread_from date, spread_to date, sms_unsplit smallint
-- by: sim_key, day
-- lock: usage
WITH differing AS MATERIALIZED (
    SELECT s.sim_key, s.day, s.bytes, s.bytes_rx, s.sms_mt, s.sms_mo, greatest(s.known_at, t.known_at) AS known_at,
           s.source, s.grade, s.spread_from, s.spread_to, s.sms_unsplit,
           t.known_at AS old_known_at, t.bytes AS old_bytes, t.bytes_rx AS old_bytes_rx, t.sms_mt AS old_sms_mt, t.sms_mo AS old_sms_mo,
           t.source AS old_source, t.grade AS old_grade, t.spread_from AS old_spread_from, t.spread_to AS old_spread_to,
           t.sms_unsplit AS old_sms_unsplit
    FROM staged AS s
    LEFT JOIN (
        SELECT * FROM own.sim_usage
        WHERE sim_key = ANY(%(sim_keys)s::integer[]) AND day BETWEEN %(first_day)s AND %(last_day)s
    ) AS t ON t.sim_key = s.sim_key AND t.day = s.day
    WHERE t.known_at IS NULL
       OR core.usage_rank(s.source, s.grade) > core.usage_rank(t.source, t.grade)
       OR (s.source = t.source AND s.grade = t.grade OR s.source IN ('q', 's') AND t.source IN ('q', 's'))
          AND s.known_at >= t.known_at
          AND (s.bytes <> t.bytes OR s.grade <> t.grade OR s.source <> t.source OR s.bytes_rx IS DISTINCT FROM t.bytes_rx
               OR s.sms_mt IS DISTINCT FROM t.sms_mt OR s.sms_mo IS DISTINCT FROM t.sms_mo
               OR s.sms_unsplit IS DISTINCT FROM t.sms_unsplit
               OR s.spread_from IS DISTINCT FROM t.spread_from OR s.spread_to IS DISTINCT FROM t.spread_to)
       OR t.source = 'c' AND (s.source = 'q' OR s.source = 's' AND (s.grade = 'A' OR s.bytes > t.bytes))
          AND t.known_at < (t.day + 1)::timestamp AT TIME ZONE 'UTC' AND s.known_at >= (t.day + 1)::timestamp AT TIME ZONE 'UTC'
          AND NOT EXISTS (
              SELECT FROM ops.polls AS p WHERE p.sim_key = s.sim_key AND p.source = 'usage' AND p.covered_to >= s.day)
), kept AS (
    INSERT INTO core.sim_usage_replaced
        (organization_id, sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, sms_unsplit, source, grade, spread_from, spread_to,
         known_from, known_to)
    SELECT (SELECT ops.current_organization()),
           sim_key, day, old_bytes, old_bytes_rx, old_sms_mt, old_sms_mo, old_sms_unsplit, core.usage_source(old_source), old_grade, old_spread_from,
           old_spread_to, old_known_at, known_at
    FROM differing WHERE old_known_at >= (day + 1)::timestamp AT TIME ZONE 'UTC'
    ON CONFLICT (sim_key, day, known_from) DO NOTHING
), added AS (
    INSERT INTO own.sim_usage
        (organization_id, sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_at, source, grade, spread_from, spread_to, sms_unsplit)
    SELECT (SELECT ops.current_organization()),
           sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_at, source, grade, spread_from, spread_to, sms_unsplit
    FROM differing WHERE old_known_at IS NULL
), corrected AS (
    INSERT INTO own.sim_usage
        (organization_id, sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_at, source, grade, spread_from, spread_to, sms_unsplit)
    SELECT (SELECT ops.current_organization()),
           sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_at, source, grade, spread_from, spread_to, sms_unsplit
    FROM differing WHERE old_known_at IS NOT NULL
    ON CONFLICT (sim_key, day) DO UPDATE SET
        bytes = excluded.bytes, bytes_rx = excluded.bytes_rx, sms_mt = excluded.sms_mt, sms_mo = excluded.sms_mo,
        known_at = excluded.known_at, source = excluded.source, grade = excluded.grade, spread_from = excluded.spread_from,
        spread_to = excluded.spread_to, sms_unsplit = excluded.sms_unsplit
), relaid AS (
    INSERT INTO ops.usage_touched AS w (organization_id, sim_key, look_day)
    SELECT (SELECT ops.current_organization()), sim_key, min(day) FROM differing
    WHERE old_source IN ('f', 'q', 's') AND source IN ('c', 'f') GROUP BY sim_key ORDER BY sim_key
    ON CONFLICT (sim_key) DO UPDATE SET look_day = least(w.look_day, excluded.look_day)
), summed AS (
    INSERT INTO core.daily_totals AS d (organization_id, day, sims, active_sims, bytes, sms)
    SELECT (SELECT ops.current_organization()), day, count(*) FILTER (WHERE old_known_at IS NULL),
           count(*) FILTER (WHERE bytes > 0) - count(*) FILTER (WHERE old_bytes > 0), sum(bytes - coalesce(old_bytes, 0)),
           sum(coalesce(sms_mt, 0) + coalesce(sms_mo, 0) + coalesce(sms_unsplit, 0)
               - coalesce(old_sms_mt, 0) - coalesce(old_sms_mo, 0) - coalesce(old_sms_unsplit, 0))
    FROM differing GROUP BY day ORDER BY day
    ON CONFLICT (organization_id, day) DO UPDATE SET
        sims = d.sims + excluded.sims, active_sims = d.active_sims + excluded.active_sims, bytes = d.bytes + excluded.bytes,
        sms = d.sms + excluded.sms
    WHERE NOT d.is_closed
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
