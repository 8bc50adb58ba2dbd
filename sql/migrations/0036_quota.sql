-- What to do about each SIM's quota: recommendations, the fleet as a whole, decisions of people, and what was saved in the end.
SET LOCAL ROLE simsight_owner;

CREATE TABLE predictions.quota_recommendations (
    recommendation_id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    organization_id smallint NOT NULL,
    sim_key integer NOT NULL REFERENCES core.sims,
    as_of date NOT NULL,
    scoring_id integer NOT NULL REFERENCES predictions.scorings,
    action text NOT NULL CHECK (action IN ('nothing', 'top_up', 'auto_top_up_on', 'auto_top_up_off', 'lower_limit', 'extend', 'swap', 'retire')),
    month smallint,
    packs smallint,
    cost_minor bigint NOT NULL,
    spend_minor bigint NOT NULL,
    saving_minor bigint NOT NULL,
    saving_p10_minor bigint NOT NULL,
    saving_p90_minor bigint NOT NULL,
    outage_days double precision NOT NULL,
    outage_p double precision NOT NULL CHECK (outage_p BETWEEN 0 AND 1),
    probability double precision NOT NULL CHECK (probability BETWEEN 0 AND 1),
    currency text NOT NULL,
    reason text NOT NULL,
    valid_until date NOT NULL,
    rule_action text NOT NULL CHECK (rule_action IN ('upgrade', 'downgrade', 'keep', 'not_enough_history', 'no_quota')),
    rule_saving_minor bigint,
    PRIMARY KEY (sim_key, as_of)
);
COMMENT ON TABLE predictions.quota_recommendations IS 'One row a SIM and as-of day: the action on its quota with the least expected cost. One that was decided on stays as it is; others are deleted when they are old';
COMMENT ON COLUMN predictions.quota_recommendations.recommendation_id IS 'Key of the recommendation';
COMMENT ON COLUMN predictions.quota_recommendations.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.quota_recommendations.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN predictions.quota_recommendations.as_of IS 'Last day that was known';
COMMENT ON COLUMN predictions.quota_recommendations.scoring_id IS 'Who made it: the forecaster whose futures it rests on (predictions.scorings)';
COMMENT ON COLUMN predictions.quota_recommendations.action IS 'nothing, top_up, auto_top_up_on, auto_top_up_off, lower_limit, extend, swap or retire';
COMMENT ON COLUMN predictions.quota_recommendations.month IS 'In which of the next months (30 days each) it is done; NULL for nothing';
COMMENT ON COLUMN predictions.quota_recommendations.packs IS 'Top-ups to buy; NULL for other actions';
COMMENT ON COLUMN predictions.quota_recommendations.cost_minor IS 'Expected cost over a year with the action done, outage days included, in minor units';
COMMENT ON COLUMN predictions.quota_recommendations.spend_minor IS 'Money it is expected to take in three months, in minor units';
COMMENT ON COLUMN predictions.quota_recommendations.saving_minor IS 'Expected saving against doing nothing over a year, in minor units';
COMMENT ON COLUMN predictions.quota_recommendations.saving_p10_minor IS '10 % quantile of the saving';
COMMENT ON COLUMN predictions.quota_recommendations.saving_p90_minor IS '90 % quantile of the saving';
COMMENT ON COLUMN predictions.quota_recommendations.outage_days IS 'Outage days expected in three months with the action done';
COMMENT ON COLUMN predictions.quota_recommendations.outage_p IS 'Probability of any outage in three months with the action done';
COMMENT ON COLUMN predictions.quota_recommendations.probability IS 'Probability that the action saves anything';
COMMENT ON COLUMN predictions.quota_recommendations.currency IS 'ISO 4217 code of the amounts';
COMMENT ON COLUMN predictions.quota_recommendations.reason IS 'Why, in a sentence or two';
COMMENT ON COLUMN predictions.quota_recommendations.valid_until IS 'Last day on which it should be done as it is';
COMMENT ON COLUMN predictions.quota_recommendations.rule_action IS 'What the plain rules say: upgrade, downgrade, keep, not_enough_history or no_quota';
COMMENT ON COLUMN predictions.quota_recommendations.rule_saving_minor IS 'What they say it saves a month, in minor units; negative where an upgrade costs';
CREATE INDEX quota_recommendations_by_saving ON predictions.quota_recommendations (organization_id, as_of, saving_minor DESC, recommendation_id);
SELECT ops.guard('predictions.quota_recommendations');

CREATE TABLE predictions.quota_fleet (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    as_of date NOT NULL,
    state text NOT NULL CHECK (state IN ('ok', 'over_budget', 'no_prices')),
    note text NOT NULL,
    run_id text NOT NULL,
    content jsonb NOT NULL,
    computed_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, as_of)
);
COMMENT ON TABLE predictions.quota_fleet IS 'One row an as-of day: money of the fleet as a whole';
COMMENT ON COLUMN predictions.quota_fleet.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.quota_fleet.as_of IS 'Last day that was known';
COMMENT ON COLUMN predictions.quota_fleet.state IS 'ok; over_budget: the budget does not hold every limit of risk; no_prices: the price list has holes, nothing is recommended';
COMMENT ON COLUMN predictions.quota_fleet.note IS 'The state in a sentence';
COMMENT ON COLUMN predictions.quota_fleet.run_id IS 'Pipeline run that computed it';
COMMENT ON COLUMN predictions.quota_fleet.content IS 'Cost, bound, spend and shadow prices of the budget, savings by action, zombie SIMs, groups, expiries, budget of the next year, plans, prices';
COMMENT ON COLUMN predictions.quota_fleet.computed_at IS 'When it was last found (UTC)';
SELECT ops.guard('predictions.quota_fleet');

CREATE TABLE predictions.recommendation_decisions (
    decision_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL,
    recommendation_id bigint NOT NULL REFERENCES predictions.quota_recommendations (recommendation_id),
    decision text NOT NULL CHECK (decision IN ('accepted', 'dismissed')),
    reason text NOT NULL DEFAULT '',
    decided_by text NOT NULL,
    decided_at timestamptz NOT NULL
);
COMMENT ON TABLE predictions.recommendation_decisions IS 'One row a decision of a person on a recommendation; the newest holds';
COMMENT ON COLUMN predictions.recommendation_decisions.decision_id IS 'Key, rising with time';
COMMENT ON COLUMN predictions.recommendation_decisions.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.recommendation_decisions.recommendation_id IS 'Recommendation (predictions.quota_recommendations)';
COMMENT ON COLUMN predictions.recommendation_decisions.decision IS 'accepted or dismissed';
COMMENT ON COLUMN predictions.recommendation_decisions.reason IS 'Why';
COMMENT ON COLUMN predictions.recommendation_decisions.decided_by IS 'Who decided';
COMMENT ON COLUMN predictions.recommendation_decisions.decided_at IS 'When (UTC)';
CREATE INDEX recommendation_decisions_by_recommendation ON predictions.recommendation_decisions (recommendation_id, decision_id DESC);
SELECT ops.guard('predictions.recommendation_decisions');

CREATE TABLE predictions.realized_savings (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    month date NOT NULL CHECK (month = date_trunc('month', month)),
    scope text NOT NULL CHECK (scope IN ('accepted', 'all')),
    sims integer NOT NULL,
    predicted_minor bigint NOT NULL,
    realized_minor bigint NOT NULL,
    currency text NOT NULL,
    computed_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, month, scope)
);
COMMENT ON TABLE predictions.realized_savings IS 'One row a month and scope: what the recommendations of the month promised, and what they came to';
COMMENT ON COLUMN predictions.realized_savings.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.realized_savings.month IS 'First day of the month of the recommendations';
COMMENT ON COLUMN predictions.realized_savings.scope IS 'accepted: those that a person accepted; all: the first of every SIM, done or not';
COMMENT ON COLUMN predictions.realized_savings.sims IS 'SIMs with a recommendation that could be looked at';
COMMENT ON COLUMN predictions.realized_savings.predicted_minor IS 'Their expected saving, in minor units';
COMMENT ON COLUMN predictions.realized_savings.realized_minor IS 'The same measure with the use that came, going on at its rate, in minor units';
COMMENT ON COLUMN predictions.realized_savings.currency IS 'ISO 4217 code of the amounts';
COMMENT ON COLUMN predictions.realized_savings.computed_at IS 'When it was last found (UTC)';
SELECT ops.guard('predictions.realized_savings');
GRANT USAGE ON ALL SEQUENCES IN SCHEMA predictions TO simsight_pipeline;

CREATE FUNCTION ops.decide_recommendation(
    presented_sha256 bytea, wanted bigint, verdict text, why text, by_whom text, now_is timestamptz) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    writer record;
BEGIN
    SELECT * INTO writer FROM ops.writing_key(presented_sha256);
    IF writer.organization_id IS NULL THEN
        RETURN 'read-only';
    END IF;
    -- locked, so that a pass of the pipeline neither changes nor deletes it meanwhile
    PERFORM FROM predictions.quota_recommendations
    WHERE organization_id = writer.organization_id AND recommendation_id = wanted FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    INSERT INTO predictions.recommendation_decisions (organization_id, recommendation_id, decision, reason, decided_by, decided_at)
    VALUES (writer.organization_id, wanted, verdict, coalesce(why, ''), concat_ws(' by ', 'API key ' || writer.name, by_whom), now_is);
    RETURN 'done';
END
$$;
COMMENT ON FUNCTION ops.decide_recommendation(bytea, bigint, text, text, text, timestamptz) IS
    'Accepts or dismisses a recommendation of the organization of an API key that may write: done, read-only or unknown';
REVOKE ALL ON FUNCTION ops.decide_recommendation(bytea, bigint, text, text, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.decide_recommendation(bytea, bigint, text, text, text, timestamptz) TO simsight_api;
