-- A day's usage may come from the usage call, a file, the Data Streamer or the difference between two looks at a quota. One row a SIM
-- and day stays: its best source. What a look at a quota says is kept so that the use between two of them can be told.
SET LOCAL ROLE simsight_owner;

ALTER TABLE core.sim_usage
    ADD COLUMN sms_unsplit smallint CHECK (sms_unsplit >= 0),
    ADD COLUMN spread_from date,
    ADD COLUMN spread_to date,
    ADD COLUMN source text NOT NULL DEFAULT 'call' CHECK (source IN ('call', 'file', 'stream', 'quota')),
    ADD COLUMN grade text NOT NULL DEFAULT 'A' CHECK (grade IN ('A', 'B', 'C'));
COMMENT ON TABLE core.sim_usage IS 'One row a SIM and UTC day, from the best source that knows it. The column order keeps a row small';
COMMENT ON COLUMN core.sim_usage.sms_unsplit IS 'SMS whose direction the source does not say, to or from the device; NULL where it says it, and where it counts none';
COMMENT ON COLUMN core.sim_usage.spread_from IS 'First day of the stretch of which only the sum is known and over whose unknown days it was spread; NULL: the day itself is known';
COMMENT ON COLUMN core.sim_usage.spread_to IS 'Last day of that stretch; NULL as spread_from';
COMMENT ON COLUMN core.sim_usage.source IS 'call: daily usage call, file: imported, stream: Data Streamer, quota: difference between looks at the quota';
COMMENT ON COLUMN core.sim_usage.grade IS 'A: the day is known exactly, B: it is known but for an outage of the stream or the hours of a look, C: only the sum of a stretch is known';

ALTER TABLE core.sim_usage_replaced
    ADD COLUMN sms_unsplit smallint,
    ADD COLUMN spread_from date,
    ADD COLUMN spread_to date,
    ADD COLUMN source text NOT NULL DEFAULT 'call',
    ADD COLUMN grade text NOT NULL DEFAULT 'A';
COMMENT ON COLUMN core.sim_usage_replaced.sms_unsplit IS 'SMS without a direction as known then';
COMMENT ON COLUMN core.sim_usage_replaced.spread_from IS 'As in core.sim_usage';
COMMENT ON COLUMN core.sim_usage_replaced.spread_to IS 'As in core.sim_usage';
COMMENT ON COLUMN core.sim_usage_replaced.source IS 'As in core.sim_usage';
COMMENT ON COLUMN core.sim_usage_replaced.grade IS 'As in core.sim_usage';

CREATE FUNCTION core.usage_rank(source text, grade text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE source
        WHEN 'call' THEN 6
        WHEN 'file' THEN 5
        WHEN 'stream' THEN CASE grade WHEN 'A' THEN 4 ELSE 2 END
        ELSE CASE grade WHEN 'C' THEN 1 ELSE 3 END
    END;
COMMENT ON FUNCTION core.usage_rank(text, text) IS 'How good a source of a day''s usage is with that grade; the higher one wins';

ALTER TABLE core.sim_quota
    ADD COLUMN first_observed_at timestamptz,
    ADD COLUMN first_left bigint,
    ADD COLUMN first_total bigint,
    ADD COLUMN first_added bigint,
    ADD COLUMN first_changed_at timestamptz,
    ADD COLUMN first_accumulated bigint,
    ADD COLUMN first_used bigint,
    ADD COLUMN used bigint,
    ADD COLUMN most_used bigint;
COMMENT ON TABLE core.sim_quota IS 'One row a SIM, kind of quota and UTC day: the last observation of that day, and the first where there were several';
COMMENT ON COLUMN core.sim_quota.first_observed_at IS 'When it was first observed on that day (UTC); NULL: once only';
COMMENT ON COLUMN core.sim_quota.first_left IS 'amount_left of the first observation; NULL as first_observed_at';
COMMENT ON COLUMN core.sim_quota.first_total IS 'amount_total of the first observation';
COMMENT ON COLUMN core.sim_quota.first_added IS 'last_added of the first observation';
COMMENT ON COLUMN core.sim_quota.first_changed_at IS 'status_changed_at of the first observation';
COMMENT ON COLUMN core.sim_quota.first_accumulated IS 'amount_accumulated of the first observation';
COMMENT ON COLUMN core.sim_quota.first_used IS 'What the SIM had used at first_observed_at, counted as in used';
COMMENT ON COLUMN core.sim_quota.used IS 'What the SIM had used at observed_at, same unit, counted from its activation where amount_accumulated was known at the first look counted, else from that look; NULL: not counted, because the usage call covers the days';
COMMENT ON COLUMN core.sim_quota.most_used IS 'Highest value of used up to here: it falls where 1NCE takes use back';

CREATE TABLE ops.usage_touched (
    sim_key integer PRIMARY KEY REFERENCES core.sims,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    look_day date,
    stream_day date
);
COMMENT ON TABLE ops.usage_touched IS 'One row a SIM whose usage by stream or quota is to be booked: something came that the book does not know';
COMMENT ON COLUMN ops.usage_touched.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN ops.usage_touched.organization_id IS 'Organization';
COMMENT ON COLUMN ops.usage_touched.look_day IS 'Earliest day of a look at its quota, or of a better source within a spread stretch; NULL: none';
COMMENT ON COLUMN ops.usage_touched.stream_day IS 'Earliest day of its stream records; NULL: none';
SELECT ops.guard('ops.usage_touched', api_reads => false);

CREATE TABLE ops.usage_book (
    organization_id smallint PRIMARY KEY REFERENCES core.organizations,
    streamed_to date NOT NULL
);
COMMENT ON TABLE ops.usage_book IS 'One row an organization: how far stream records have become days of core.sim_usage';
COMMENT ON COLUMN ops.usage_book.organization_id IS 'Organization';
COMMENT ON COLUMN ops.usage_book.streamed_to IS 'Last day that was booked from the stream, or put into ops.usage_touched to be';
SELECT ops.guard('ops.usage_book', api_reads => false);
