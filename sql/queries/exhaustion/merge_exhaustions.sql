-- Quota exhaustion: one row a SIM and as-of day. A row whose values and model version are the same keeps its scoring.
-- staged: sim_key integer, as_of date, scoring_id integer, status text, cause text, p_7 double precision, p_14 double precision, p_30 double precision, p10_date date, p50_date date, p90_date date, remaining bigint, expires_on date, data_age_hours smallint, data_grade smallint, p_90 double precision, topup_date date, topups_30 double precision, p_limit double precision, limit_date date, sms_remaining integer, sms_status text, sms_p_7 double precision, sms_p_14 double precision, sms_p_30 double precision, sms_p_90 double precision, sms_p10_date date, sms_p50_date date, sms_p90_date date
WITH compared AS (
    SELECT s.*, t.sim_key IS NULL AS is_new,
           t.sim_key IS NOT NULL
               AND (n.model_name, n.model_version, s.status, s.cause, s.p_7, s.p_14, s.p_30, s.p10_date, s.p50_date, s.p90_date, s.remaining, s.expires_on, s.data_age_hours, s.data_grade, s.p_90, s.topup_date, s.topups_30, s.p_limit, s.limit_date, s.sms_remaining, s.sms_status, s.sms_p_7, s.sms_p_14, s.sms_p_30, s.sms_p_90, s.sms_p10_date, s.sms_p50_date, s.sms_p90_date)
               IS DISTINCT FROM (o.model_name, o.model_version, t.status, t.cause, t.p_7, t.p_14, t.p_30, t.p10_date, t.p50_date, t.p90_date, t.remaining, t.expires_on, t.data_age_hours, t.data_grade, t.p_90, t.topup_date, t.topups_30, t.p_limit, t.limit_date, t.sms_remaining, t.sms_status, t.sms_p_7, t.sms_p_14, t.sms_p_30, t.sms_p_90, t.sms_p10_date, t.sms_p50_date, t.sms_p90_date) AS is_changed
    FROM staged AS s
    LEFT JOIN predictions.exhaustions AS t ON t.sim_key = s.sim_key AND t.as_of = s.as_of
    LEFT JOIN predictions.scorings AS n ON n.scoring_id = s.scoring_id
    LEFT JOIN predictions.scorings AS o ON o.scoring_id = t.scoring_id
), written AS (
    INSERT INTO predictions.exhaustions (organization_id, sim_key, as_of, scoring_id, status, cause, p_7, p_14, p_30, p10_date, p50_date, p90_date, remaining, expires_on, data_age_hours, data_grade, p_90, topup_date, topups_30, p_limit, limit_date, sms_remaining, sms_status, sms_p_7, sms_p_14, sms_p_30, sms_p_90, sms_p10_date, sms_p50_date, sms_p90_date)
    SELECT (SELECT ops.current_organization()), sim_key, as_of, scoring_id, status, cause, p_7, p_14, p_30, p10_date, p50_date, p90_date, remaining, expires_on, data_age_hours, data_grade, p_90, topup_date, topups_30, p_limit, limit_date, sms_remaining, sms_status, sms_p_7, sms_p_14, sms_p_30, sms_p_90, sms_p10_date, sms_p50_date, sms_p90_date
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
        data_grade = excluded.data_grade,
        p_90 = excluded.p_90,
        topup_date = excluded.topup_date,
        topups_30 = excluded.topups_30,
        p_limit = excluded.p_limit,
        limit_date = excluded.limit_date,
        sms_remaining = excluded.sms_remaining,
        sms_status = excluded.sms_status,
        sms_p_7 = excluded.sms_p_7,
        sms_p_14 = excluded.sms_p_14,
        sms_p_30 = excluded.sms_p_30,
        sms_p_90 = excluded.sms_p_90,
        sms_p10_date = excluded.sms_p10_date,
        sms_p50_date = excluded.sms_p50_date,
        sms_p90_date = excluded.sms_p90_date
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
