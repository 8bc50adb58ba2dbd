-- Risk of churn: one row a SIM and as-of day. A row whose values and model version are the same keeps its scoring.
-- staged: sim_key integer, as_of date, scoring_id integer, p_30 double precision, p_60 double precision, p_90 double precision, p_180 double precision, p_dead_device double precision, p_switched_off double precision, p_swapped double precision, p_exhausted double precision, p_expired double precision, any_end double precision, risk_level text, cause text, reasons text, contributions jsonb, action text, value_minor bigint, currency text, worth double precision, held_out boolean
WITH compared AS (
    SELECT s.*, t.sim_key IS NULL AS is_new,
           t.sim_key IS NOT NULL
               AND (n.model_name, n.model_version, s.p_30, s.p_60, s.p_90, s.p_180, s.p_dead_device, s.p_switched_off, s.p_swapped, s.p_exhausted, s.p_expired, s.any_end, s.risk_level, s.cause, s.reasons, s.contributions, s.action, s.value_minor, s.currency, s.worth, s.held_out)
               IS DISTINCT FROM (o.model_name, o.model_version, t.p_30, t.p_60, t.p_90, t.p_180, t.p_dead_device, t.p_switched_off, t.p_swapped, t.p_exhausted, t.p_expired, t.any_end, t.risk_level, t.cause, t.reasons, t.contributions, t.action, t.value_minor, t.currency, t.worth, t.held_out) AS is_changed
    FROM staged AS s
    LEFT JOIN predictions.churn_risks AS t ON t.sim_key = s.sim_key AND t.as_of = s.as_of
    LEFT JOIN predictions.scorings AS n ON n.scoring_id = s.scoring_id
    LEFT JOIN predictions.scorings AS o ON o.scoring_id = t.scoring_id
), written AS (
    INSERT INTO predictions.churn_risks (organization_id, sim_key, as_of, scoring_id, p_30, p_60, p_90, p_180, p_dead_device, p_switched_off, p_swapped, p_exhausted, p_expired, any_end, risk_level, cause, reasons, contributions, action, value_minor, currency, worth, held_out)
    SELECT (SELECT ops.current_organization()), sim_key, as_of, scoring_id, p_30, p_60, p_90, p_180, p_dead_device, p_switched_off, p_swapped, p_exhausted, p_expired, any_end, risk_level, cause, reasons, contributions, action, value_minor, currency, worth, held_out
    FROM compared WHERE is_new OR is_changed
    ON CONFLICT (sim_key, as_of) DO UPDATE SET
        scoring_id = excluded.scoring_id,
        p_30 = excluded.p_30,
        p_60 = excluded.p_60,
        p_90 = excluded.p_90,
        p_180 = excluded.p_180,
        p_dead_device = excluded.p_dead_device,
        p_switched_off = excluded.p_switched_off,
        p_swapped = excluded.p_swapped,
        p_exhausted = excluded.p_exhausted,
        p_expired = excluded.p_expired,
        any_end = excluded.any_end,
        risk_level = excluded.risk_level,
        cause = excluded.cause,
        reasons = excluded.reasons,
        contributions = excluded.contributions,
        action = excluded.action,
        value_minor = excluded.value_minor,
        currency = excluded.currency,
        worth = excluded.worth,
        held_out = excluded.held_out
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
