-- Forecasts of %(day)s, made %(leads)s days before it, held against its usage and against seasonal naive: writes one row a part of the
-- horizon and model version, and returns how many rows are new or different. A version counts from its own as-of day on. A day
-- without a usage row was zero if 1NCE was asked for it, and is left out if not, and where only a sum is known. Indexes: usage_forecasts_by_as_of, sim_usage_key.
WITH forecast AS MATERIALIZED (
    SELECT f.sim_key, f.day - f.as_of AS lead, f.mean, f.q025, f.q10, f.q50, f.q90, f.q975, r.model_name, r.model_version
    FROM own.usage_forecasts AS f
    JOIN predictions.scorings AS r USING (scoring_id)
    JOIN predictions.backtests AS b
        ON b.model_name = r.model_name AND b.model_version = r.model_version AND b.as_of <= f.as_of
    WHERE (f.as_of, f.day - f.as_of) IN (SELECT %(day)s::date - lead, lead FROM unnest(%(leads)s::integer[]) AS lead)
      AND r.model_name = %(model_name)s
), before AS MATERIALIZED (
    SELECT sim_key, min(day) AS first_day, sum(bytes) FILTER (WHERE day >= %(day)s::date - 28 AND day < %(day)s) / 28.0::double precision AS scale,
           max(bytes) FILTER (WHERE day = %(day)s AND spread_from IS NULL) AS used,
           coalesce(max(bytes) FILTER (WHERE day = %(day)s::date - 7), 0) AS week_1,
           coalesce(max(bytes) FILTER (WHERE day = %(day)s::date - 14), 0) AS week_2,
           coalesce(max(bytes) FILTER (WHERE day = %(day)s::date - 21), 0) AS week_3,
           coalesce(max(bytes) FILTER (WHERE day = %(day)s::date - 28), 0) AS week_4
    FROM own.sim_usage WHERE day BETWEEN %(day)s::date - 28 AND %(day)s
    GROUP BY sim_key
), known AS (
    SELECT f.*, coalesce(u.used, 0) AS used, u.scale,
           CASE (f.lead + 6) / 7 WHEN 1 THEN u.week_1 WHEN 2 THEN u.week_2 WHEN 3 THEN u.week_3 ELSE u.week_4 END AS naive
    FROM forecast AS f
    LEFT JOIN before AS u USING (sim_key)
    LEFT JOIN ops.polls AS p ON p.sim_key = f.sim_key AND p.source = 'usage'
    WHERE u.used IS NOT NULL OR p.covered_to >= %(day)s
), scored AS (
    SELECT model_name, model_version, CASE WHEN lead <= 7 THEN '1-7' ELSE '8-30' END AS horizon,
           count(DISTINCT sim_key)::integer AS sims, count(*)::integer AS n,
           avg(abs(used - q50) / scale) FILTER (WHERE scale > 0) AS error,
           avg(abs(used - naive) / scale) FILTER (WHERE scale > 0) AS baseline_error,
           avg((used BETWEEN q10 AND q90)::integer)::double precision AS coverage_80,
           avg((used BETWEEN q025 AND q975)::integer)::double precision AS coverage_95,
           sum(mean)::double precision / nullif(sum(used), 0) - 1 AS bias,
           avg((used > q50)::integer) FILTER (WHERE used > 0 OR q50 > 0)::double precision AS above_median
    FROM known GROUP BY 1, 2, 3
), written AS (
    INSERT INTO predictions.forecast_scores AS t
        (organization_id, day, horizon, model_name, model_version, sims, n, error, baseline_error, rmase, coverage_80, coverage_95,
         bias, above_median, scored_at)
    SELECT (SELECT ops.current_organization()), %(day)s, horizon, model_name, model_version, sims, n, error, baseline_error,
           error / nullif(baseline_error, 0), coverage_80, coverage_95, bias, above_median, %(now)s
    FROM scored
    ON CONFLICT (organization_id, model_name, day, horizon, model_version) DO UPDATE SET
        sims = excluded.sims, n = excluded.n, error = excluded.error, baseline_error = excluded.baseline_error,
        rmase = excluded.rmase, coverage_80 = excluded.coverage_80, coverage_95 = excluded.coverage_95, bias = excluded.bias,
        above_median = excluded.above_median, scored_at = excluded.scored_at
    RETURNING 1
)
SELECT count(*) AS rows FROM written;
