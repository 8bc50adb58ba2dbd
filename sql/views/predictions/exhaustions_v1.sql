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
COMMENT ON COLUMN predictions.exhaustions_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN predictions.exhaustions_v1.iccid IS 'ICCID of the SIM: 19 digits, without the check digit';
COMMENT ON COLUMN predictions.exhaustions_v1.label IS 'Name of the SIM: the customer''s own or else 1NCE''s; NULL: it has none';
COMMENT ON COLUMN predictions.exhaustions_v1.as_of IS 'Last complete UTC day that was known';
COMMENT ON COLUMN predictions.exhaustions_v1.status IS
    'ok: the median date lies within the 30 days forecast; extrapolated: after them; exhausted or expired: already; not_enough_evidence: no guess';
COMMENT ON COLUMN predictions.exhaustions_v1.cause IS 'What ends the SIM first at the median: volume or expiry';
COMMENT ON COLUMN predictions.exhaustions_v1.p_7 IS 'Probability of the end within 7 days after as_of';
COMMENT ON COLUMN predictions.exhaustions_v1.p_14 IS 'Within 14 days';
COMMENT ON COLUMN predictions.exhaustions_v1.p_30 IS 'Within 30 days';
COMMENT ON COLUMN predictions.exhaustions_v1.p10_date IS 'Early date: 10 % chance that the end comes on or before it';
COMMENT ON COLUMN predictions.exhaustions_v1.p50_date IS 'Median date of the end';
COMMENT ON COLUMN predictions.exhaustions_v1.p90_date IS 'Late date: 90 %';
COMMENT ON COLUMN predictions.exhaustions_v1.remaining IS 'Data volume left at the end of as_of, in bytes (millionths of a MB)';
COMMENT ON COLUMN predictions.exhaustions_v1.expires_on IS 'Day the SIM expires';
COMMENT ON COLUMN predictions.exhaustions_v1.model_name IS 'Registered model that it was made with';
COMMENT ON COLUMN predictions.exhaustions_v1.model_version IS 'Version of that model in the MLflow registry';
COMMENT ON COLUMN predictions.exhaustions_v1.run_id IS 'Pipeline run that made it';
COMMENT ON COLUMN predictions.exhaustions_v1.created_at IS 'When it was computed (UTC)';
COMMENT ON COLUMN predictions.exhaustions_v1.data_age_hours IS
    'Hours by which the last usage answer lies before the end of as_of; 0 when it came after; NULL: never asked';
COMMENT ON COLUMN predictions.exhaustions_v1.data_grade IS
    'A: usage known to the end of as_of, quota seen no more than two days before it; B: usage known, quota older or none; C: one or two last days not known; D: more';
COMMENT ON COLUMN predictions.exhaustions_v1.p_90 IS 'Within 90 days';
COMMENT ON COLUMN predictions.exhaustions_v1.topup_date IS
    'Median day of the next automatic top-up; NULL for SIMs whose last top-up did not come by itself';
COMMENT ON COLUMN predictions.exhaustions_v1.topups_30 IS 'Automatic top-ups expected within 30 days; NULL as for topup_date';
COMMENT ON COLUMN predictions.exhaustions_v1.p_limit IS
    'Probability that the monthly limit (SIMSIGHT_MONTHLY_LIMIT_MB) stops the SIM in the month of the day after as_of; NULL without a limit';
COMMENT ON COLUMN predictions.exhaustions_v1.limit_date IS 'Median day of that, where it is at least as likely as not';
COMMENT ON COLUMN predictions.exhaustions_v1.sms_remaining IS 'SMS left at the end of as_of';
COMMENT ON COLUMN predictions.exhaustions_v1.sms_status IS 'As status, for the SMS quota: ok, exhausted, expired or not_enough_evidence';
COMMENT ON COLUMN predictions.exhaustions_v1.sms_p_7 IS 'Probability that the SMS are used up or the SIM expires within 7 days after as_of';
COMMENT ON COLUMN predictions.exhaustions_v1.sms_p_14 IS 'Within 14 days';
COMMENT ON COLUMN predictions.exhaustions_v1.sms_p_30 IS 'Within 30 days';
COMMENT ON COLUMN predictions.exhaustions_v1.sms_p_90 IS 'Within 90 days';
COMMENT ON COLUMN predictions.exhaustions_v1.sms_p10_date IS 'Early date of the end of the SMS quota: 10 %';
COMMENT ON COLUMN predictions.exhaustions_v1.sms_p50_date IS 'Median date of the end of the SMS quota';
COMMENT ON COLUMN predictions.exhaustions_v1.sms_p90_date IS 'Late date of the end of the SMS quota: 90 %';
COMMENT ON COLUMN predictions.exhaustions_v1.remaining_bytes IS 'The same as remaining, by a name that says its unit';

GRANT SELECT ON predictions.exhaustions_v1 TO simsight_pipeline, simsight_api;
