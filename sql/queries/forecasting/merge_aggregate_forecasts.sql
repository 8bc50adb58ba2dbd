-- Forecasts of totals as of a day: one row a group and day ahead. Groups that the same as-of day had before and has no more are deleted.
-- staged: as_of date, kind text, name text, day date, method text, sims integer, mean bigint, q025 bigint, q10 bigint, q50 bigint, q90 bigint, q975 bigint, sum_mean_bytes bigint, sum_q025_bytes bigint, sum_q10_bytes bigint, sum_q50_bytes bigint, sum_q90_bytes bigint, sum_q975_bytes bigint, created_at timestamptz
-- lock: aggregates
WITH gone AS (
    DELETE FROM predictions.aggregate_forecasts AS t
    WHERE t.as_of IN (SELECT as_of FROM staged)
      AND NOT EXISTS (SELECT FROM staged AS s WHERE (s.as_of, s.kind, s.name, s.day) = (t.as_of, t.kind, t.name, t.day))
), compared AS (
    SELECT s.*, t.day IS NULL AS is_new,
           t.day IS NOT NULL AND (s.method, s.sims, s.mean, s.q025, s.q10, s.q50, s.q90, s.q975,
                s.sum_mean_bytes, s.sum_q025_bytes, s.sum_q10_bytes, s.sum_q50_bytes, s.sum_q90_bytes, s.sum_q975_bytes)
               IS DISTINCT FROM (t.method, t.sims, t.mean, t.q025, t.q10, t.q50, t.q90, t.q975,
                t.sum_mean_bytes, t.sum_q025_bytes, t.sum_q10_bytes, t.sum_q50_bytes, t.sum_q90_bytes, t.sum_q975_bytes) AS is_changed
    FROM staged AS s
    LEFT JOIN predictions.aggregate_forecasts AS t ON (s.as_of, s.kind, s.name, s.day) = (t.as_of, t.kind, t.name, t.day)
), written AS (
    INSERT INTO predictions.aggregate_forecasts
        (organization_id, as_of, kind, name, day, method, sims, mean, q025, q10, q50, q90, q975,
         sum_mean_bytes, sum_q025_bytes, sum_q10_bytes, sum_q50_bytes, sum_q90_bytes, sum_q975_bytes, created_at)
    SELECT (SELECT ops.current_organization()), as_of, kind, name, day, method, sims, mean, q025, q10, q50, q90, q975,
           sum_mean_bytes, sum_q025_bytes, sum_q10_bytes, sum_q50_bytes, sum_q90_bytes, sum_q975_bytes, created_at
    FROM compared WHERE is_new OR is_changed
    ON CONFLICT (organization_id, as_of, kind, name, day) DO UPDATE SET
        method = excluded.method, sims = excluded.sims, mean = excluded.mean, q025 = excluded.q025, q10 = excluded.q10,
        q50 = excluded.q50, q90 = excluded.q90, q975 = excluded.q975,
        sum_mean_bytes = excluded.sum_mean_bytes,
        sum_q025_bytes = excluded.sum_q025_bytes,
        sum_q10_bytes = excluded.sum_q10_bytes,
        sum_q50_bytes = excluded.sum_q50_bytes,
        sum_q90_bytes = excluded.sum_q90_bytes,
        sum_q975_bytes = excluded.sum_q975_bytes, created_at = excluded.created_at
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
