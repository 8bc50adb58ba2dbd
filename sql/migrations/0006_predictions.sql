-- What the models say. Rows point to the scoring that made them; the views show it in full.
SET LOCAL ROLE simsight_owner;

CREATE TABLE predictions.backtests (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    model_name text NOT NULL,
    model_version integer NOT NULL,
    run_id text NOT NULL,
    as_of date NOT NULL,
    role text NOT NULL CHECK (role IN ('champion', 'challenger', 'retired')),
    metrics jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, model_name, model_version)
);
COMMENT ON TABLE predictions.backtests IS 'One row a trained model version: how good it was on days it had not seen, beside the baseline';
COMMENT ON COLUMN predictions.backtests.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.backtests.model_name IS 'Registered model, such as usage-forecaster';
COMMENT ON COLUMN predictions.backtests.model_version IS 'Its version in the MLflow registry';
COMMENT ON COLUMN predictions.backtests.run_id IS 'MLflow run that trained it';
COMMENT ON COLUMN predictions.backtests.as_of IS 'Last complete day it knew';
COMMENT ON COLUMN predictions.backtests.role IS 'champion scores; challenger lost to it; retired was champion before';
COMMENT ON COLUMN predictions.backtests.metrics IS 'Backtest figures by name: rmase is relative to seasonal naive (below 1 is better), coverages are shares';
COMMENT ON COLUMN predictions.backtests.created_at IS 'When it was trained (UTC)';
CREATE UNIQUE INDEX backtests_one_champion ON predictions.backtests (organization_id, model_name) WHERE role = 'champion';
SELECT ops.guard('predictions.backtests');

CREATE TABLE predictions.scorings (
    scoring_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    model_name text NOT NULL,
    model_version integer NOT NULL,
    run_id text NOT NULL,
    as_of date NOT NULL,
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE predictions.scorings IS 'One row a pass of one model version over the fleet';
COMMENT ON COLUMN predictions.scorings.scoring_id IS 'Key carried by the rows it made';
COMMENT ON COLUMN predictions.scorings.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.scorings.model_name IS 'Registered model';
COMMENT ON COLUMN predictions.scorings.model_version IS 'Its version in the MLflow registry';
COMMENT ON COLUMN predictions.scorings.run_id IS 'Pipeline run that scored';
COMMENT ON COLUMN predictions.scorings.as_of IS 'Last complete day that was known';
COMMENT ON COLUMN predictions.scorings.created_at IS 'When it scored (UTC)';
SELECT ops.guard('predictions.scorings');

CREATE TABLE predictions.usage_forecasts (
    sim_key integer NOT NULL,
    as_of date NOT NULL,
    day date NOT NULL,
    organization_id smallint NOT NULL,
    scoring_id integer NOT NULL,
    mean bigint NOT NULL,
    q025 bigint NOT NULL,
    q10 bigint NOT NULL,
    q50 bigint NOT NULL,
    q90 bigint NOT NULL,
    q975 bigint NOT NULL,
    PRIMARY KEY (sim_key, as_of, day),
    CHECK (0 <= q025 AND q025 <= q10 AND q10 <= q50 AND q50 <= q90 AND q90 <= q975)
);
COMMENT ON TABLE predictions.usage_forecasts IS 'One row a SIM, as-of day and day ahead';
COMMENT ON COLUMN predictions.usage_forecasts.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN predictions.usage_forecasts.as_of IS 'Last complete day that was known';
COMMENT ON COLUMN predictions.usage_forecasts.day IS 'Day forecast';
COMMENT ON COLUMN predictions.usage_forecasts.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.usage_forecasts.scoring_id IS 'Who made it (predictions.scorings)';
COMMENT ON COLUMN predictions.usage_forecasts.mean IS 'Expected bytes (millionths of a MB) of the day';
COMMENT ON COLUMN predictions.usage_forecasts.q025 IS '2.5 % quantile in bytes';
COMMENT ON COLUMN predictions.usage_forecasts.q10 IS '10 % quantile in bytes';
COMMENT ON COLUMN predictions.usage_forecasts.q50 IS 'Median in bytes';
COMMENT ON COLUMN predictions.usage_forecasts.q90 IS '90 % quantile in bytes';
COMMENT ON COLUMN predictions.usage_forecasts.q975 IS '97.5 % quantile in bytes';
SELECT ops.make_hypertable('predictions.usage_forecasts', 'as_of', '30 days');
CREATE INDEX usage_forecasts_by_as_of ON predictions.usage_forecasts (organization_id, as_of);
SELECT ops.guard('predictions.usage_forecasts');

CREATE TABLE predictions.exhaustions (
    sim_key integer NOT NULL,
    as_of date NOT NULL,
    organization_id smallint NOT NULL,
    scoring_id integer NOT NULL,
    status text NOT NULL CHECK (status IN ('ok', 'extrapolated', 'exhausted', 'expired', 'not_enough_evidence')),
    cause text CHECK (cause IN ('volume', 'expiry')),
    p_7 double precision CHECK (p_7 BETWEEN 0 AND 1),
    p_14 double precision CHECK (p_14 BETWEEN 0 AND 1),
    p_30 double precision CHECK (p_30 BETWEEN 0 AND 1),
    p10_date date,
    p50_date date,
    p90_date date,
    remaining bigint,
    expires_on date,
    PRIMARY KEY (sim_key, as_of)
);
COMMENT ON TABLE predictions.exhaustions IS 'One row a SIM and as-of day: when its data volume or its time runs out, whichever is first';
COMMENT ON COLUMN predictions.exhaustions.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN predictions.exhaustions.as_of IS 'Last complete day that was known';
COMMENT ON COLUMN predictions.exhaustions.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.exhaustions.scoring_id IS 'Who made it (predictions.scorings)';
COMMENT ON COLUMN predictions.exhaustions.status IS 'ok: dates within the forecast horizon; extrapolated: the median lies beyond it; exhausted or expired: already; not_enough_evidence: no guess';
COMMENT ON COLUMN predictions.exhaustions.cause IS 'What ends the SIM first at the median: volume or expiry';
COMMENT ON COLUMN predictions.exhaustions.p_7 IS 'Probability of the end within 7 days after as_of';
COMMENT ON COLUMN predictions.exhaustions.p_14 IS 'Within 14 days';
COMMENT ON COLUMN predictions.exhaustions.p_30 IS 'Within 30 days';
COMMENT ON COLUMN predictions.exhaustions.p10_date IS 'Early date: 10 % chance that the end comes on or before it';
COMMENT ON COLUMN predictions.exhaustions.p50_date IS 'Median date of the end';
COMMENT ON COLUMN predictions.exhaustions.p90_date IS 'Late date: 90 %';
COMMENT ON COLUMN predictions.exhaustions.remaining IS 'Data volume left at the end of as_of, in bytes (millionths of a MB)';
COMMENT ON COLUMN predictions.exhaustions.expires_on IS 'Day the SIM expires';
CREATE INDEX exhaustions_by_as_of ON predictions.exhaustions (organization_id, as_of, p_14 DESC);
SELECT ops.guard('predictions.exhaustions');

CREATE TABLE predictions.alerts (
    alert_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    sim_key integer NOT NULL REFERENCES core.sims,
    kind text NOT NULL CHECK (kind IN ('exhaustion', 'quota_80', 'silent')),
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    value double precision,
    threshold double precision,
    message text NOT NULL,
    opened_as_of date NOT NULL,
    opened_at timestamptz NOT NULL,
    seen_as_of date NOT NULL,
    closed_as_of date,
    closed_at timestamptz,
    scoring_id integer REFERENCES predictions.scorings
);
COMMENT ON TABLE predictions.alerts IS 'One row an alert from its opening to its end; written once, however long it lasts';
COMMENT ON COLUMN predictions.alerts.alert_id IS 'Key, rising with time';
COMMENT ON COLUMN predictions.alerts.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.alerts.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN predictions.alerts.kind IS 'exhaustion: will run out soon; quota_80: this share of the quota is used; silent: not heard of for unusually long';
COMMENT ON COLUMN predictions.alerts.severity IS 'info, warning or critical';
COMMENT ON COLUMN predictions.alerts.value IS 'What was measured last: probability, share used, or days silent';
COMMENT ON COLUMN predictions.alerts.threshold IS 'What it was held against, same unit';
COMMENT ON COLUMN predictions.alerts.message IS 'The alert in a sentence, with numbers';
COMMENT ON COLUMN predictions.alerts.opened_as_of IS 'As-of day that opened it';
COMMENT ON COLUMN predictions.alerts.opened_at IS 'When it was opened (UTC)';
COMMENT ON COLUMN predictions.alerts.seen_as_of IS 'Last as-of day on which it held';
COMMENT ON COLUMN predictions.alerts.closed_as_of IS 'As-of day that ended it; NULL while open';
COMMENT ON COLUMN predictions.alerts.closed_at IS 'When it was closed (UTC); NULL while open';
COMMENT ON COLUMN predictions.alerts.scoring_id IS 'The scoring it rests on (predictions.scorings)';
CREATE UNIQUE INDEX alerts_one_open ON predictions.alerts (sim_key, kind) WHERE closed_at IS NULL;
CREATE INDEX alerts_by_organization ON predictions.alerts (organization_id, alert_id);
SELECT ops.guard('predictions.alerts');

CREATE TABLE predictions.reports (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    as_of date NOT NULL,
    html text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, as_of)
);
COMMENT ON TABLE predictions.reports IS 'One row an as-of day: the fleet report, a self-contained HTML page';
COMMENT ON COLUMN predictions.reports.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.reports.as_of IS 'Last complete day that was known';
COMMENT ON COLUMN predictions.reports.html IS 'The page';
COMMENT ON COLUMN predictions.reports.created_at IS 'When it was made (UTC)';
SELECT ops.guard('predictions.reports');
GRANT USAGE ON ALL SEQUENCES IN SCHEMA raw, core, predictions, ops TO simsight_pipeline;
