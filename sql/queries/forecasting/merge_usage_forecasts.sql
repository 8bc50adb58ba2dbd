-- Usage forecasts: one row a SIM, as-of day and day ahead. Days whose values and model version are the same keep their scoring, unless
-- another day of the same forecast changes: a forecast is of one scoring.
-- New rows need no ON CONFLICT, which would cost more: publications of one organization wait for each other.
-- staged: sim_key integer, as_of date, day date, scoring_id integer, mean bigint, q025 bigint, q10 bigint, q50 bigint, q90 bigint, q975 bigint, data_age_hours smallint, data_grade smallint
-- lock: forecasts
WITH compared AS (
    SELECT s.*, t.sim_key IS NULL AS is_new,
           t.sim_key IS NOT NULL
               AND (n.model_name, n.model_version, s.mean, s.q025, s.q10, s.q50, s.q90, s.q975, s.data_age_hours, s.data_grade)
               IS DISTINCT FROM (o.model_name, o.model_version, t.mean, t.q025, t.q10, t.q50, t.q90, t.q975, t.data_age_hours, t.data_grade)
               AS differs
    FROM staged AS s
    LEFT JOIN own.usage_forecasts AS t ON t.sim_key = s.sim_key AND t.as_of = s.as_of AND t.day = s.day
    LEFT JOIN predictions.scorings AS n ON n.scoring_id = s.scoring_id
    LEFT JOIN predictions.scorings AS o ON o.scoring_id = t.scoring_id
), touched AS (
    SELECT DISTINCT sim_key, as_of FROM compared WHERE differs
), marked AS (
    SELECT *, NOT is_new AND (sim_key, as_of) IN (SELECT sim_key, as_of FROM touched) AS is_changed FROM compared
), added AS (
    INSERT INTO own.usage_forecasts (organization_id, sim_key, as_of, day, scoring_id, mean, q025, q10, q50, q90, q975, data_age_hours, data_grade)
    SELECT (SELECT ops.current_organization()), sim_key, as_of, day, scoring_id, mean, q025, q10, q50, q90, q975, data_age_hours, data_grade
    FROM compared WHERE is_new
), changed AS (
    INSERT INTO own.usage_forecasts (organization_id, sim_key, as_of, day, scoring_id, mean, q025, q10, q50, q90, q975, data_age_hours, data_grade)
    SELECT (SELECT ops.current_organization()), sim_key, as_of, day, scoring_id, mean, q025, q10, q50, q90, q975, data_age_hours, data_grade
    FROM marked WHERE is_changed
    ON CONFLICT (sim_key, as_of, day) DO UPDATE SET
        scoring_id = excluded.scoring_id,
        mean = excluded.mean,
        q025 = excluded.q025,
        q10 = excluded.q10,
        q50 = excluded.q50,
        q90 = excluded.q90,
        q975 = excluded.q975,
        data_age_hours = excluded.data_age_hours,
        data_grade = excluded.data_grade
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM marked;
