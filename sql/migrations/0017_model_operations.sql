-- Running models: why a version scores and who decided it, blocks under way, what each SIM was scored from, and how forecasts did.
SET LOCAL ROLE simsight_owner;

ALTER TABLE predictions.backtests ADD COLUMN why text, ADD COLUMN comparison jsonb;
COMMENT ON COLUMN predictions.backtests.why IS 'Why it became champion or challenger when it was trained, in a sentence';
COMMENT ON COLUMN predictions.backtests.comparison IS 'New version, champion of the time and seasonal naive on the same SIMs and days: figures by name; NULL where there was nothing to compare';

CREATE TABLE predictions.promotions (
    promotion_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    model_name text NOT NULL,
    model_version integer NOT NULL,
    from_version integer,
    decided_by text NOT NULL,
    decided_at timestamptz NOT NULL,
    why text NOT NULL
);
COMMENT ON TABLE predictions.promotions IS 'One row a change of champion, by a training or by a rollback';
COMMENT ON COLUMN predictions.promotions.promotion_id IS 'Key, rising with time';
COMMENT ON COLUMN predictions.promotions.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.promotions.model_name IS 'Registered model';
COMMENT ON COLUMN predictions.promotions.model_version IS 'Version that scores from now on';
COMMENT ON COLUMN predictions.promotions.from_version IS 'Version that scored before; NULL: none';
COMMENT ON COLUMN predictions.promotions.decided_by IS 'training, or the user who rolled back';
COMMENT ON COLUMN predictions.promotions.decided_at IS 'When (UTC)';
COMMENT ON COLUMN predictions.promotions.why IS 'Why, in a sentence';
SELECT ops.guard('predictions.promotions');
GRANT USAGE ON ALL SEQUENCES IN SCHEMA predictions TO simsight_pipeline;

CREATE TABLE ops.scored_sims (
    sim_key integer NOT NULL,
    as_of date NOT NULL,
    part text NOT NULL CHECK (part IN ('usage_forecasts', 'exhaustions')),
    organization_id smallint NOT NULL,
    scoring_id integer NOT NULL,
    input_hash bigint NOT NULL,
    PRIMARY KEY (part, as_of, sim_key)
);
COMMENT ON TABLE ops.scored_sims IS 'One row a kind of prediction, as-of day and SIM: what it was scored from; the same again is not scored again';
COMMENT ON COLUMN ops.scored_sims.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN ops.scored_sims.as_of IS 'Last complete day that was known';
COMMENT ON COLUMN ops.scored_sims.part IS 'Which predictions: usage_forecasts or exhaustions';
COMMENT ON COLUMN ops.scored_sims.organization_id IS 'Organization';
COMMENT ON COLUMN ops.scored_sims.scoring_id IS 'Who made them (predictions.scorings)';
COMMENT ON COLUMN ops.scored_sims.input_hash IS 'Hash of the usage, quota and grade of data they rest on';
SELECT ops.guard('ops.scored_sims', api_reads => false);

CREATE TABLE ops.staged_blocks (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    work_id text NOT NULL,
    part text NOT NULL CHECK (part IN ('usage_forecasts', 'exhaustions')),
    as_of date NOT NULL,
    block integer NOT NULL,
    rows integer NOT NULL,
    content bytea NOT NULL,
    staged_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, work_id, part, as_of, block)
);
ALTER TABLE ops.staged_blocks ALTER COLUMN content SET STORAGE EXTERNAL;  -- it is compressed already
COMMENT ON TABLE ops.staged_blocks IS 'One row a block of SIMs that is scored but not published: all blocks of an as-of day appear at once or not at all';
COMMENT ON COLUMN ops.staged_blocks.organization_id IS 'Organization';
COMMENT ON COLUMN ops.staged_blocks.work_id IS 'Run that planned the blocks';
COMMENT ON COLUMN ops.staged_blocks.part IS 'Which predictions: usage_forecasts or exhaustions';
COMMENT ON COLUMN ops.staged_blocks.as_of IS 'As-of day of the predictions';
COMMENT ON COLUMN ops.staged_blocks.block IS 'Number of the block, from 0';
COMMENT ON COLUMN ops.staged_blocks.rows IS 'Rows in the content';
COMMENT ON COLUMN ops.staged_blocks.content IS 'The rows as an Arrow IPC file';
COMMENT ON COLUMN ops.staged_blocks.staged_at IS 'When it was staged (UTC)';
SELECT ops.guard('ops.staged_blocks', api_reads => false);

CREATE TABLE predictions.forecast_scores (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    day date NOT NULL,
    horizon text NOT NULL CHECK (horizon IN ('1-7', '8-30')),
    model_name text NOT NULL,
    model_version integer NOT NULL,
    sims integer NOT NULL,
    n integer NOT NULL,
    error double precision,
    baseline_error double precision,
    rmase double precision,
    coverage_80 double precision NOT NULL,
    coverage_95 double precision NOT NULL,
    bias double precision,
    above_median double precision,
    scored_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, model_name, day, horizon, model_version)
);
COMMENT ON TABLE predictions.forecast_scores IS 'One row a closed usage day, part of the horizon and model version: how the forecasts of that day, made before it, did';
COMMENT ON COLUMN predictions.forecast_scores.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.forecast_scores.day IS 'UTC day that was forecast and then happened';
COMMENT ON COLUMN predictions.forecast_scores.horizon IS 'Days ahead: 1-7 (every one of them) or 8-30 (14, 21 and 28 days ahead)';
COMMENT ON COLUMN predictions.forecast_scores.model_name IS 'Registered model';
COMMENT ON COLUMN predictions.forecast_scores.model_version IS 'Version that made the forecasts, fitted on nothing after their as-of days';
COMMENT ON COLUMN predictions.forecast_scores.sims IS 'SIMs whose usage of the day is known';
COMMENT ON COLUMN predictions.forecast_scores.n IS 'Forecasts held against it';
COMMENT ON COLUMN predictions.forecast_scores.error IS 'Mean absolute error of the median as a multiple of the SIM''s mean daily use of the 28 days before; SIMs without use left out';
COMMENT ON COLUMN predictions.forecast_scores.baseline_error IS 'The same of seasonal naive: the last same weekday known on the as-of day';
COMMENT ON COLUMN predictions.forecast_scores.rmase IS 'error over baseline_error, both on the same SIMs and days; above 1 repeating last week was better';
COMMENT ON COLUMN predictions.forecast_scores.coverage_80 IS 'Share of forecasts whose 80 % interval held the usage';
COMMENT ON COLUMN predictions.forecast_scores.coverage_95 IS 'The same of the 95 % interval';
COMMENT ON COLUMN predictions.forecast_scores.bias IS 'Sum of the means over the sum of what was used, less 1: above 0 the forecasts were too high';
COMMENT ON COLUMN predictions.forecast_scores.above_median IS 'Share of usages above the median, of forecasts where either is not 0; about a half when all is well';
COMMENT ON COLUMN predictions.forecast_scores.scored_at IS 'When it was computed (UTC)';
SELECT ops.guard('predictions.forecast_scores');

-- forecasts of one day, of many as-of days: the day belongs into the index
DROP INDEX predictions.usage_forecasts_by_as_of;
CREATE INDEX usage_forecasts_by_as_of ON predictions.usage_forecasts (organization_id, as_of, day);

CREATE VIEW predictions.forecast_scores_v1 WITH (security_invoker = true) AS
SELECT organization_id, day, horizon, model_name, model_version, sims, n, error, baseline_error, rmase, coverage_80, coverage_95,
       bias, above_median, scored_at
FROM predictions.forecast_scores;
COMMENT ON VIEW predictions.forecast_scores_v1 IS 'One row a closed usage day, part of the horizon and model version: how its forecasts did';

CREATE VIEW predictions.promotions_v1 WITH (security_invoker = true) AS
SELECT organization_id, promotion_id, model_name, model_version, from_version, decided_by, decided_at, why
FROM predictions.promotions;
COMMENT ON VIEW predictions.promotions_v1 IS 'One row a change of champion: from which version to which, who decided it, when and why';
GRANT SELECT ON predictions.forecast_scores_v1, predictions.promotions_v1 TO simsight_pipeline, simsight_api;
