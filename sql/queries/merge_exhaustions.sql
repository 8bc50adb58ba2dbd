-- Quota exhaustion: one row a SIM and as-of day.
-- staged: sim_key integer, as_of date, scoring_id integer, status text, cause text, p_7 double precision, p_14 double precision, p_30 double precision, p10_date date, p50_date date, p90_date date, remaining bigint, expires_on date, data_age_hours smallint, data_grade smallint
WITH compared AS (
    SELECT s.*, t.sim_key IS NULL AS is_new,
           t.sim_key IS NOT NULL
               AND (s.scoring_id, s.status, s.cause, s.p_7, s.p_14, s.p_30, s.p10_date, s.p50_date, s.p90_date, s.remaining, s.expires_on, s.data_age_hours, s.data_grade)
               IS DISTINCT FROM (t.scoring_id, t.status, t.cause, t.p_7, t.p_14, t.p_30, t.p10_date, t.p50_date, t.p90_date, t.remaining, t.expires_on, t.data_age_hours, t.data_grade) AS is_changed
    FROM staged AS s LEFT JOIN predictions.exhaustions AS t ON t.sim_key = s.sim_key AND t.as_of = s.as_of
), written AS (
    INSERT INTO predictions.exhaustions (organization_id, sim_key, as_of, scoring_id, status, cause, p_7, p_14, p_30, p10_date, p50_date, p90_date, remaining, expires_on, data_age_hours, data_grade)
    SELECT ops.current_organization(), sim_key, as_of, scoring_id, status, cause, p_7, p_14, p_30, p10_date, p50_date, p90_date, remaining, expires_on, data_age_hours, data_grade
    FROM compared WHERE is_new OR is_changed
    ON CONFLICT (sim_key, as_of) DO UPDATE SET
        scoring_id = excluded.scoring_id,
        status = excluded.status,
        cause = excluded.cause,
        p_7 = excluded.p_7,
        p_14 = excluded.p_14,
        p_30 = excluded.p_30,
        p10_date = excluded.p10_date,
        p50_date = excluded.p50_date,
        p90_date = excluded.p90_date,
        remaining = excluded.remaining,
        expires_on = excluded.expires_on,
        data_age_hours = excluded.data_age_hours,
        data_grade = excluded.data_grade
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
