-- What the poll planner needs beside the last poll: when a SIM last really answered; and what predictions rest on.
SET LOCAL ROLE simsight_owner;

ALTER TABLE ops.polls ADD COLUMN answered_at timestamptz;
COMMENT ON COLUMN ops.polls.answered_at IS 'When it was last asked without a problem (UTC); NULL: never';
UPDATE ops.polls SET answered_at = polled_at WHERE problem IS NULL;

ALTER TABLE predictions.usage_forecasts ADD COLUMN data_age_hours smallint, ADD COLUMN data_grade smallint;
ALTER TABLE predictions.exhaustions ADD COLUMN data_age_hours smallint, ADD COLUMN data_grade smallint;
COMMENT ON COLUMN predictions.usage_forecasts.data_age_hours IS 'Hours by which the last usage answer lies before the end of as_of; 0 when it came after; NULL: never asked';
COMMENT ON COLUMN predictions.usage_forecasts.data_grade IS '1 (A): usage known to the end of as_of, quota seen no more than two days before it; 2 (B): usage known, quota older or none; 3 (C): one or two last days not known; 4 (D): more';
COMMENT ON COLUMN predictions.exhaustions.data_age_hours IS 'As in predictions.usage_forecasts';
COMMENT ON COLUMN predictions.exhaustions.data_grade IS 'As in predictions.usage_forecasts';

CREATE OR REPLACE VIEW predictions.usage_forecasts_v1 WITH (security_invoker = true) AS
SELECT f.organization_id, s.iccid, f.as_of, f.day, f.mean, f.q025, f.q10, f.q50, f.q90, f.q975,
       r.model_name, r.model_version, r.run_id, r.created_at, f.data_age_hours, substr('ABCD', f.data_grade, 1) AS data_grade
FROM predictions.usage_forecasts AS f
JOIN core.sims AS s USING (sim_key)
JOIN predictions.scorings AS r USING (scoring_id);

CREATE OR REPLACE VIEW predictions.exhaustions_v1 WITH (security_invoker = true) AS
SELECT e.organization_id, s.iccid, s.label, e.as_of, e.status, e.cause, e.p_7, e.p_14, e.p_30,
       e.p10_date, e.p50_date, e.p90_date, e.remaining, e.expires_on,
       r.model_name, r.model_version, r.run_id, r.created_at, e.data_age_hours, substr('ABCD', e.data_grade, 1) AS data_grade
FROM predictions.exhaustions AS e
JOIN core.sims AS s USING (sim_key)
JOIN predictions.scorings AS r USING (scoring_id);
