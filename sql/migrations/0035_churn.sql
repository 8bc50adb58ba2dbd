-- The risk that a SIM leaves, by cause and horizon, what could be done about it, and what people decided.
SET LOCAL ROLE simsight_owner;

CREATE TABLE predictions.churn_risks (
    sim_key integer NOT NULL,
    as_of date NOT NULL,
    organization_id smallint NOT NULL,
    scoring_id integer NOT NULL,
    p_30 double precision NOT NULL CHECK (p_30 BETWEEN 0 AND 1),
    p_60 double precision NOT NULL CHECK (p_60 BETWEEN 0 AND 1),
    p_90 double precision NOT NULL CHECK (p_90 BETWEEN 0 AND 1),
    p_180 double precision NOT NULL CHECK (p_180 BETWEEN 0 AND 1),
    p_dead_device double precision NOT NULL CHECK (p_dead_device BETWEEN 0 AND 1),
    p_switched_off double precision NOT NULL CHECK (p_switched_off BETWEEN 0 AND 1),
    p_swapped double precision NOT NULL CHECK (p_swapped BETWEEN 0 AND 1),
    p_exhausted double precision NOT NULL CHECK (p_exhausted BETWEEN 0 AND 1),
    p_expired double precision NOT NULL CHECK (p_expired BETWEEN 0 AND 1),
    any_end double precision NOT NULL CHECK (any_end BETWEEN 0 AND 1),
    risk_level text NOT NULL CHECK (risk_level IN ('high', 'medium', 'low')),
    cause text NOT NULL CHECK (cause IN ('dead_device', 'switched_off', 'swapped')),
    reasons text NOT NULL,
    action text NOT NULL,
    value_minor bigint,
    currency text,
    worth double precision NOT NULL,
    held_out boolean NOT NULL,
    PRIMARY KEY (sim_key, as_of)
);
COMMENT ON TABLE predictions.churn_risks IS 'One row a SIM in service and as-of day: the risk that it leaves, by horizon and cause. Risk is that of the three learnt causes: dead device, switched off, swapped';
COMMENT ON COLUMN predictions.churn_risks.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN predictions.churn_risks.as_of IS 'Last complete day that was known';
COMMENT ON COLUMN predictions.churn_risks.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.churn_risks.scoring_id IS 'Who made it (predictions.scorings)';
COMMENT ON COLUMN predictions.churn_risks.p_30 IS 'Risk within 30 days after as_of and the lateness of usage';
COMMENT ON COLUMN predictions.churn_risks.p_60 IS 'Within 60 days';
COMMENT ON COLUMN predictions.churn_risks.p_90 IS 'Within 90 days: p_dead_device, p_switched_off and p_swapped together';
COMMENT ON COLUMN predictions.churn_risks.p_180 IS 'Within 180 days';
COMMENT ON COLUMN predictions.churn_risks.p_dead_device IS 'Of p_90, that its device falls silent for good';
COMMENT ON COLUMN predictions.churn_risks.p_switched_off IS 'Of p_90, that it is disabled or leaves the SIM list';
COMMENT ON COLUMN predictions.churn_risks.p_swapped IS 'Of p_90, that its device goes on with another SIM';
COMMENT ON COLUMN predictions.churn_risks.p_exhausted IS 'That its data volume ends it first within 90 days, from its exhaustion dates';
COMMENT ON COLUMN predictions.churn_risks.p_expired IS 'That its validity ends it first within 90 days';
COMMENT ON COLUMN predictions.churn_risks.any_end IS 'Within 90 days, by any cause: p_90, p_exhausted and p_expired together';
COMMENT ON COLUMN predictions.churn_risks.risk_level IS 'high, medium or low, by p_90 (SIMSIGHT_CHURN_HIGH, SIMSIGHT_CHURN_MEDIUM)';
COMMENT ON COLUMN predictions.churn_risks.cause IS 'The likeliest of the three learnt causes';
COMMENT ON COLUMN predictions.churn_risks.reasons IS 'What raises its risk most, in words';
COMMENT ON COLUMN predictions.churn_risks.action IS 'Retention action of its level and cause';
COMMENT ON COLUMN predictions.churn_risks.value_minor IS 'Value at stake in minor units of the currency: what was invoiced for it; of a SIM without an order, the median of the others. NULL: no invoice is known';
COMMENT ON COLUMN predictions.churn_risks.currency IS 'ISO 4217 code; NULL as value_minor';
COMMENT ON COLUMN predictions.churn_risks.worth IS 'By which actions are ranked: over the causes, p x value_minor x how much can be done about it';
COMMENT ON COLUMN predictions.churn_risks.held_out IS 'Drawn for the hold-out (SIMSIGHT_CHURN_HOLDOUT): nothing is to be done, so that the effect of actions can be measured';
SELECT ops.make_hypertable('predictions.churn_risks', 'as_of', '30 days');
CREATE INDEX churn_risks_by_as_of ON predictions.churn_risks (organization_id, as_of, p_90 DESC);
SELECT ops.guard('predictions.churn_risks');

CREATE TABLE predictions.churn_decisions (
    decision_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL,
    sim_key integer NOT NULL REFERENCES core.sims,
    as_of date NOT NULL,
    action text NOT NULL,
    p_90 double precision NOT NULL,
    held_out boolean NOT NULL,
    decision text NOT NULL CHECK (decision IN ('accepted', 'dismissed')),
    reason text NOT NULL,
    decided_by text NOT NULL,
    decided_at timestamptz NOT NULL
);
COMMENT ON TABLE predictions.churn_decisions IS 'One row a decision of a person on a retention action; rows are added, never changed. The newest of a SIM counts';
COMMENT ON COLUMN predictions.churn_decisions.decision_id IS 'Key, rising with time';
COMMENT ON COLUMN predictions.churn_decisions.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.churn_decisions.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN predictions.churn_decisions.as_of IS 'As-of day of the risk that was decided on: the latest then';
COMMENT ON COLUMN predictions.churn_decisions.action IS 'The action, as it was proposed';
COMMENT ON COLUMN predictions.churn_decisions.p_90 IS 'The risk within 90 days then';
COMMENT ON COLUMN predictions.churn_decisions.held_out IS 'Whether the SIM was in the hold-out then';
COMMENT ON COLUMN predictions.churn_decisions.decision IS 'accepted or dismissed';
COMMENT ON COLUMN predictions.churn_decisions.reason IS 'Why';
COMMENT ON COLUMN predictions.churn_decisions.decided_by IS 'Who decided';
COMMENT ON COLUMN predictions.churn_decisions.decided_at IS 'When (UTC)';
CREATE INDEX churn_decisions_by_sim ON predictions.churn_decisions (sim_key, decision_id DESC);
SELECT ops.guard('predictions.churn_decisions');
GRANT USAGE ON ALL SEQUENCES IN SCHEMA predictions TO simsight_pipeline;

CREATE FUNCTION ops.decide_churn_action(
    presented_sha256 bytea, wanted text, said text, why text, by_whom text, now_is timestamptz) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    writer record;
    risk record;
BEGIN
    SELECT * INTO writer FROM ops.writing_key(presented_sha256);
    IF writer.organization_id IS NULL THEN
        RETURN 'read-only';
    END IF;
    SELECT r.sim_key, r.as_of, r.action, r.p_90, r.held_out INTO risk
    FROM predictions.churn_risks AS r JOIN core.sims AS s ON s.sim_key = r.sim_key
    WHERE s.organization_id = writer.organization_id AND s.iccid = wanted AND r.organization_id = writer.organization_id
    ORDER BY r.as_of DESC LIMIT 1;
    IF risk.sim_key IS NULL THEN
        RETURN 'unknown';
    END IF;
    INSERT INTO predictions.churn_decisions
        (organization_id, sim_key, as_of, action, p_90, held_out, decision, reason, decided_by, decided_at)
    VALUES (writer.organization_id, risk.sim_key, risk.as_of, risk.action, risk.p_90, risk.held_out, said, why,
            concat_ws(' by ', 'API key ' || writer.name, by_whom), now_is);
    RETURN 'done';
END
$$;
COMMENT ON FUNCTION ops.decide_churn_action(bytea, text, text, text, text, timestamptz) IS
    'Keeps the decision on the retention action of a SIM of the organization of an API key that may write: done, read-only or unknown (no risk of such a SIM)';
REVOKE ALL ON FUNCTION ops.decide_churn_action(bytea, text, text, text, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.decide_churn_action(bytea, text, text, text, text, timestamptz) TO simsight_api;
