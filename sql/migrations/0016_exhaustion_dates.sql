-- When SIMs end, further: 90 days ahead, the SMS quota, the monthly limit and automatic top-ups; and how honest the dates are.
SET LOCAL ROLE simsight_owner;

ALTER TABLE predictions.exhaustions
    ADD COLUMN p_90 double precision CHECK (p_90 BETWEEN 0 AND 1),
    ADD COLUMN topup_date date,
    ADD COLUMN topups_30 double precision CHECK (topups_30 >= 0),
    ADD COLUMN p_limit double precision CHECK (p_limit BETWEEN 0 AND 1),
    ADD COLUMN limit_date date,
    ADD COLUMN sms_remaining integer,
    ADD COLUMN sms_status text CHECK (sms_status IN ('ok', 'exhausted', 'expired', 'not_enough_evidence')),
    ADD COLUMN sms_p_7 double precision CHECK (sms_p_7 BETWEEN 0 AND 1),
    ADD COLUMN sms_p_14 double precision CHECK (sms_p_14 BETWEEN 0 AND 1),
    ADD COLUMN sms_p_30 double precision CHECK (sms_p_30 BETWEEN 0 AND 1),
    ADD COLUMN sms_p_90 double precision CHECK (sms_p_90 BETWEEN 0 AND 1),
    ADD COLUMN sms_p10_date date,
    ADD COLUMN sms_p50_date date,
    ADD COLUMN sms_p90_date date;
COMMENT ON COLUMN predictions.exhaustions.p_90 IS 'Within 90 days';
COMMENT ON COLUMN predictions.exhaustions.topup_date IS 'Median day of the next automatic top-up; NULL for SIMs whose last top-up did not come by itself';
COMMENT ON COLUMN predictions.exhaustions.topups_30 IS 'Automatic top-ups expected within 30 days; NULL as for topup_date';
COMMENT ON COLUMN predictions.exhaustions.p_limit IS 'Probability that the monthly limit (SIMSIGHT_MONTHLY_LIMIT_MB) stops the SIM in the month of as_of + 1; NULL without a limit';
COMMENT ON COLUMN predictions.exhaustions.limit_date IS 'Median day of that, where it is at least as likely as not';
COMMENT ON COLUMN predictions.exhaustions.sms_remaining IS 'SMS left at the end of as_of';
COMMENT ON COLUMN predictions.exhaustions.sms_status IS 'As status, for the SMS quota: ok, exhausted, expired or not_enough_evidence';
COMMENT ON COLUMN predictions.exhaustions.sms_p_7 IS 'Probability that the SMS are used up or the SIM expires within 7 days after as_of';
COMMENT ON COLUMN predictions.exhaustions.sms_p_14 IS 'Within 14 days';
COMMENT ON COLUMN predictions.exhaustions.sms_p_30 IS 'Within 30 days';
COMMENT ON COLUMN predictions.exhaustions.sms_p_90 IS 'Within 90 days';
COMMENT ON COLUMN predictions.exhaustions.sms_p10_date IS 'Early date of the end of the SMS quota: 10 %';
COMMENT ON COLUMN predictions.exhaustions.sms_p50_date IS 'Median date of the end of the SMS quota';
COMMENT ON COLUMN predictions.exhaustions.sms_p90_date IS 'Late date of the end of the SMS quota: 90 %';
COMMENT ON COLUMN predictions.exhaustions.status IS 'ok: dates within the forecast horizon; extrapolated: the median lies beyond it; exhausted or expired: already; not_enough_evidence: no guess';

CREATE OR REPLACE VIEW predictions.exhaustions_v1 WITH (security_invoker = true) AS
SELECT e.organization_id, s.iccid, coalesce(s.own_label, s.label) AS label, e.as_of, e.status, e.cause, e.p_7, e.p_14, e.p_30,
       e.p10_date, e.p50_date, e.p90_date, e.remaining, e.expires_on,
       r.model_name, r.model_version, r.run_id, r.created_at, e.data_age_hours, substr('ABCD', e.data_grade, 1) AS data_grade,
       e.p_90, e.topup_date, e.topups_30, e.p_limit, e.limit_date,
       e.sms_remaining, e.sms_status, e.sms_p_7, e.sms_p_14, e.sms_p_30, e.sms_p_90, e.sms_p10_date, e.sms_p50_date, e.sms_p90_date
FROM predictions.exhaustions AS e
JOIN core.sims AS s USING (sim_key)
JOIN predictions.scorings AS r USING (scoring_id);

CREATE TABLE predictions.exhaustion_backtests (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    as_of date NOT NULL,
    status text NOT NULL CHECK (status IN ('ok', 'not_enough_history')),
    coverage_80 double precision,
    lowest double precision NOT NULL,
    highest double precision NOT NULL,
    achieved double precision[],
    note text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, as_of)
);
COMMENT ON TABLE predictions.exhaustion_backtests IS 'One row an as-of day: how honest exhaustion dates were on the fleet''s own past, by hypothetical volumes';
COMMENT ON COLUMN predictions.exhaustion_backtests.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.exhaustion_backtests.as_of IS 'Last complete day it knew';
COMMENT ON COLUMN predictions.exhaustion_backtests.status IS 'ok, or not_enough_history: nothing could be tested';
COMMENT ON COLUMN predictions.exhaustion_backtests.coverage_80 IS 'Share of dates between P10 and P90; 0.8 is promised';
COMMENT ON COLUMN predictions.exhaustion_backtests.lowest IS 'Least coverage with which dates are published';
COMMENT ON COLUMN predictions.exhaustion_backtests.highest IS 'Greatest coverage with which dates are published';
COMMENT ON COLUMN predictions.exhaustion_backtests.achieved IS 'Calibration: the shares that had ended at evenly spaced stated probabilities from 0 to 1; NULL: none could be learnt';
COMMENT ON COLUMN predictions.exhaustion_backtests.note IS 'What was tested, in a sentence';
COMMENT ON COLUMN predictions.exhaustion_backtests.created_at IS 'When it was made (UTC)';
SELECT ops.guard('predictions.exhaustion_backtests');
