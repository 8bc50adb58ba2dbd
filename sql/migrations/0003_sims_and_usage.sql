-- The SIM cards and their daily usage, the book of record, with every value a late correction replaced.
SET LOCAL ROLE simsight_owner;

CREATE TABLE core.sims (
    sim_key integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    iccid text NOT NULL CHECK (iccid ~ '^[0-9]{19}$'),
    iccid_with_luhn text,
    imsi text,
    msisdn text,
    imei text,
    imei_lock boolean,
    status text,
    activated_at timestamptz,
    ip_address text,
    label text,
    quota_status smallint CHECK (quota_status BETWEEN 0 AND 2),
    quota_total bigint,
    sms_quota_status smallint CHECK (sms_quota_status BETWEEN 0 AND 2),
    sms_quota_total integer,
    first_seen_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    UNIQUE (organization_id, iccid)
);
COMMENT ON TABLE core.sims IS 'One row a SIM card, as the SIM list last gave it';
COMMENT ON COLUMN core.sims.sim_key IS 'Small key of the SIM inside the big tables';
COMMENT ON COLUMN core.sims.organization_id IS 'Organization';
COMMENT ON COLUMN core.sims.iccid IS 'ICCID, 19 digits, without the Luhn digit';
COMMENT ON COLUMN core.sims.iccid_with_luhn IS 'ICCID with its Luhn check digit, 20 digits';
COMMENT ON COLUMN core.sims.imsi IS 'IMSI in use';
COMMENT ON COLUMN core.sims.msisdn IS 'Telephone number (MSISDN)';
COMMENT ON COLUMN core.sims.imei IS 'IMEI of the device, text because of leading zeros';
COMMENT ON COLUMN core.sims.imei_lock IS 'Whether the SIM works in this device only';
COMMENT ON COLUMN core.sims.status IS 'Enabled or Disabled';
COMMENT ON COLUMN core.sims.activated_at IS 'When the SIM was activated (UTC)';
COMMENT ON COLUMN core.sims.ip_address IS 'Static private IP address';
COMMENT ON COLUMN core.sims.label IS 'The customer''s name for it';
COMMENT ON COLUMN core.sims.quota_status IS '0: more than 20 % of the data quota left, 1: less, 2: none';
COMMENT ON COLUMN core.sims.quota_total IS 'The whole data quota by the SIM list, in bytes (millionths of a MB); what is left stands in core.sim_quota';
COMMENT ON COLUMN core.sims.sms_quota_status IS 'As quota_status, for SMS';
COMMENT ON COLUMN core.sims.sms_quota_total IS 'The whole SMS quota by the SIM list, in messages';
COMMENT ON COLUMN core.sims.first_seen_at IS 'When the SIM was first listed (UTC)';
COMMENT ON COLUMN core.sims.changed_at IS 'When anything here last changed (UTC)';
SELECT ops.guard('core.sims');

CREATE TABLE core.sim_usage (
    bytes bigint NOT NULL CHECK (bytes >= 0),
    bytes_rx bigint CHECK (bytes_rx BETWEEN 0 AND bytes),
    known_at timestamptz NOT NULL,
    sim_key integer NOT NULL,
    day date NOT NULL,
    organization_id smallint NOT NULL,
    sms_mt smallint CHECK (sms_mt >= 0),
    sms_mo smallint CHECK (sms_mo >= 0),
    PRIMARY KEY (sim_key, day)
);
COMMENT ON TABLE core.sim_usage IS 'One row a SIM and UTC day, from the daily usage call. The column order keeps a row small';
COMMENT ON COLUMN core.sim_usage.bytes IS 'Data volume of the day in bytes (millionths of a MB), received and sent';
COMMENT ON COLUMN core.sim_usage.bytes_rx IS 'Of these, received by the device, in bytes; sent is the difference; NULL where a file did not say';
COMMENT ON COLUMN core.sim_usage.known_at IS 'Since when this value is known (UTC); a correction moves it';
COMMENT ON COLUMN core.sim_usage.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN core.sim_usage.day IS 'UTC day';
COMMENT ON COLUMN core.sim_usage.organization_id IS 'Organization';
COMMENT ON COLUMN core.sim_usage.sms_mt IS 'SMS to the device (mobile terminated); NULL where a file did not say';
COMMENT ON COLUMN core.sim_usage.sms_mo IS 'SMS from the device (mobile originated); NULL where a file did not say';
SELECT ops.make_hypertable('core.sim_usage', 'day', '30 days');
-- days arrive in order: a block-range index finds them, and takes next to nothing to keep
CREATE INDEX sim_usage_by_day ON core.sim_usage USING brin (day) WITH (pages_per_range = 32, autosummarize = on);
SELECT ops.guard('core.sim_usage');

CREATE TABLE core.sim_usage_replaced (
    sim_key integer NOT NULL REFERENCES core.sims,
    day date NOT NULL,
    organization_id smallint NOT NULL,
    bytes bigint NOT NULL,
    bytes_rx bigint,
    sms_mt smallint,
    sms_mo smallint,
    known_from timestamptz NOT NULL,
    known_to timestamptz NOT NULL,
    PRIMARY KEY (sim_key, day, known_from)
);
COMMENT ON TABLE core.sim_usage_replaced IS 'One row a value of an ended day that a late correction replaced, and from when to when it was known';
COMMENT ON COLUMN core.sim_usage_replaced.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN core.sim_usage_replaced.day IS 'UTC day';
COMMENT ON COLUMN core.sim_usage_replaced.organization_id IS 'Organization';
COMMENT ON COLUMN core.sim_usage_replaced.bytes IS 'Volume in bytes (millionths of a MB) as known then';
COMMENT ON COLUMN core.sim_usage_replaced.bytes_rx IS 'Received bytes as known then';
COMMENT ON COLUMN core.sim_usage_replaced.sms_mt IS 'SMS to the device as known then';
COMMENT ON COLUMN core.sim_usage_replaced.sms_mo IS 'SMS from the device as known then';
COMMENT ON COLUMN core.sim_usage_replaced.known_from IS 'When this value came (UTC)';
COMMENT ON COLUMN core.sim_usage_replaced.known_to IS 'When its correction came (UTC)';
SELECT ops.guard('core.sim_usage_replaced');

CREATE TABLE ops.sweeps (
    sweep_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    source text NOT NULL,
    first_day date NOT NULL,
    last_day date NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz
);
COMMENT ON TABLE ops.sweeps IS 'One row a pass over the fleet with one per-SIM call; an unfinished one is taken up where it stopped';
COMMENT ON COLUMN ops.sweeps.sweep_id IS 'Key';
COMMENT ON COLUMN ops.sweeps.organization_id IS 'Organization';
COMMENT ON COLUMN ops.sweeps.source IS 'Which call: usage, quota, status, events, sms';
COMMENT ON COLUMN ops.sweeps.first_day IS 'First day asked for';
COMMENT ON COLUMN ops.sweeps.last_day IS 'Last day asked for';
COMMENT ON COLUMN ops.sweeps.started_at IS 'When the pass began (UTC)';
COMMENT ON COLUMN ops.sweeps.finished_at IS 'When every SIM had been asked (UTC); NULL while unfinished';
CREATE INDEX sweeps_latest ON ops.sweeps (organization_id, source, started_at DESC);
SELECT ops.guard('ops.sweeps', api_reads => false);

CREATE TABLE ops.polls (
    sim_key integer NOT NULL REFERENCES core.sims,
    source text NOT NULL,
    organization_id smallint NOT NULL,
    sweep_id bigint NOT NULL,
    polled_at timestamptz NOT NULL,
    covered_to date,
    problem text,
    PRIMARY KEY (sim_key, source)
);
COMMENT ON TABLE ops.polls IS 'One row a SIM and call: when it was last asked, and what went wrong if something did';
COMMENT ON COLUMN ops.polls.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN ops.polls.source IS 'Which call';
COMMENT ON COLUMN ops.polls.organization_id IS 'Organization';
COMMENT ON COLUMN ops.polls.sweep_id IS 'The pass it was asked in (ops.sweeps)';
COMMENT ON COLUMN ops.polls.polled_at IS 'When the answer came (UTC)';
COMMENT ON COLUMN ops.polls.covered_to IS 'Last complete day a usage answer covered without a gap since the first; NULL: none yet';
COMMENT ON COLUMN ops.polls.problem IS 'Why the last call gave nothing; NULL when it did';
SELECT ops.guard('ops.polls', api_reads => false);
