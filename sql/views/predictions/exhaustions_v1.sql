CREATE OR REPLACE VIEW predictions.exhaustions_v1 WITH (security_invoker = true) AS
SELECT
    e.organization_id,
    s.iccid,
    coalesce(s.own_label, s.label) AS label,
    e.as_of,
    -- the data quota
    e.status,
    e.cause,
    e.p_7,
    e.p_14,
    e.p_30,
    e.p10_date,
    e.p50_date,
    e.p90_date,
    e.remaining,
    e.expires_on,
    r.model_name,
    r.model_version,
    r.run_id,
    r.created_at,
    e.data_age_hours,
    substr('ABCD', e.data_grade, 1) AS data_grade,
    e.p_90,
    e.topup_date,
    e.topups_30,
    e.p_limit,
    e.limit_date,
    -- the SMS quota
    e.sms_remaining,
    e.sms_status,
    e.sms_p_7,
    e.sms_p_14,
    e.sms_p_30,
    e.sms_p_90,
    e.sms_p10_date,
    e.sms_p50_date,
    e.sms_p90_date,
    -- remaining, by a name that says its unit
    e.remaining AS remaining_bytes
FROM predictions.exhaustions AS e
JOIN core.sims AS s USING (sim_key)
JOIN predictions.scorings AS r USING (scoring_id);

COMMENT ON VIEW predictions.exhaustions_v1 IS
    'One row a SIM and as-of day: probability and dates of the end; remaining and remaining_bytes '
    'are the same: bytes (millionths of a MB)';

GRANT SELECT ON predictions.exhaustions_v1 TO simsight_pipeline, simsight_api;
