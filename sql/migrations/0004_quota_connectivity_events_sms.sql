-- What else is known about a SIM: quota and connectivity a day, events, SMS.
SET LOCAL ROLE simsight_owner;

CREATE TABLE core.sim_quota (
    sim_key integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('data', 'sms')),
    day date NOT NULL,
    organization_id smallint NOT NULL,
    observed_at timestamptz NOT NULL,
    amount_left bigint NOT NULL,
    amount_total bigint,
    expires_at timestamptz,
    last_added bigint,
    status_changed_at timestamptz,
    PRIMARY KEY (sim_key, kind, day)
);
COMMENT ON TABLE core.sim_quota IS 'One row a SIM, kind of quota and UTC day: the last observation of that day';
COMMENT ON COLUMN core.sim_quota.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN core.sim_quota.kind IS 'data or sms';
COMMENT ON COLUMN core.sim_quota.day IS 'UTC day of the observation';
COMMENT ON COLUMN core.sim_quota.organization_id IS 'Organization';
COMMENT ON COLUMN core.sim_quota.observed_at IS 'When it was observed (UTC)';
COMMENT ON COLUMN core.sim_quota.amount_left IS 'What is left: bytes (millionths of a MB) for data, messages for sms; may be negative';
COMMENT ON COLUMN core.sim_quota.amount_total IS 'What was left plus what was added at the last top-up, same unit: total minus left is not what was used in all';
COMMENT ON COLUMN core.sim_quota.expires_at IS 'When the SIM expires (UTC)';
COMMENT ON COLUMN core.sim_quota.last_added IS 'Volume of the last top-up, same unit';
COMMENT ON COLUMN core.sim_quota.status_changed_at IS 'When the quota last changed its status (UTC)';
SELECT ops.make_hypertable('core.sim_quota', 'day', '30 days');
CREATE INDEX sim_quota_by_day ON core.sim_quota (organization_id, day);
SELECT ops.guard('core.sim_quota');

CREATE TABLE core.sim_connectivity (
    sim_key integer NOT NULL,
    day date NOT NULL,
    organization_id smallint NOT NULL,
    observed_at timestamptz NOT NULL,
    status text NOT NULL CHECK (status IN ('OFFLINE', 'ATTACHED', 'ONLINE')),
    operator text,
    country text,
    rat_type text,
    located_at timestamptz,
    PRIMARY KEY (sim_key, day)
);
COMMENT ON TABLE core.sim_connectivity IS 'One row a SIM and UTC day: the last observation of that day';
COMMENT ON COLUMN core.sim_connectivity.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN core.sim_connectivity.day IS 'UTC day of the observation';
COMMENT ON COLUMN core.sim_connectivity.organization_id IS 'Organization';
COMMENT ON COLUMN core.sim_connectivity.observed_at IS 'When it was observed (UTC)';
COMMENT ON COLUMN core.sim_connectivity.status IS 'OFFLINE, ATTACHED or ONLINE';
COMMENT ON COLUMN core.sim_connectivity.operator IS 'Visited operator';
COMMENT ON COLUMN core.sim_connectivity.country IS 'Visited country';
COMMENT ON COLUMN core.sim_connectivity.rat_type IS 'Radio access: 2G, 3G, 4G, 5G, NB-IoT';
COMMENT ON COLUMN core.sim_connectivity.located_at IS 'When the network last saw it (UTC)';
SELECT ops.make_hypertable('core.sim_connectivity', 'day', '30 days');
SELECT ops.guard('core.sim_connectivity');

CREATE TABLE core.sim_events (
    sim_key integer NOT NULL,
    occurred_at timestamptz NOT NULL,
    event_type text NOT NULL,
    organization_id smallint NOT NULL,
    severity text,
    alert boolean,
    imei text,
    imsi text,
    country text,
    operator text,
    PRIMARY KEY (sim_key, occurred_at, event_type)
);
COMMENT ON TABLE core.sim_events IS 'One row an event of a SIM';
COMMENT ON COLUMN core.sim_events.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN core.sim_events.occurred_at IS 'When it happened (UTC)';
COMMENT ON COLUMN core.sim_events.event_type IS '1NCE''s sentence for the kind of event';
COMMENT ON COLUMN core.sim_events.organization_id IS 'Organization';
COMMENT ON COLUMN core.sim_events.severity IS 'INFO, WARN or CRITICAL';
COMMENT ON COLUMN core.sim_events.alert IS '1NCE''s alert flag';
COMMENT ON COLUMN core.sim_events.imei IS 'IMEI at the time';
COMMENT ON COLUMN core.sim_events.imsi IS 'IMSI at the time';
COMMENT ON COLUMN core.sim_events.country IS 'Visited country';
COMMENT ON COLUMN core.sim_events.operator IS 'Visited operator';
SELECT ops.make_hypertable('core.sim_events', 'occurred_at', '30 days');
SELECT ops.guard('core.sim_events');

CREATE TABLE core.sim_sms (
    sim_key integer NOT NULL,
    sms_id bigint NOT NULL,
    organization_id smallint NOT NULL,
    submitted_at timestamptz,
    delivered_at timestamptz,
    final_at timestamptz,
    direction text CHECK (direction IN ('MT', 'MO')),
    status text,
    PRIMARY KEY (sim_key, sms_id)
);
COMMENT ON TABLE core.sim_sms IS 'One row an SMS, without its text';
COMMENT ON COLUMN core.sim_sms.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN core.sim_sms.sms_id IS '1NCE''s id of the message';
COMMENT ON COLUMN core.sim_sms.organization_id IS 'Organization';
COMMENT ON COLUMN core.sim_sms.submitted_at IS 'When it was submitted (UTC)';
COMMENT ON COLUMN core.sim_sms.delivered_at IS 'When it was delivered (UTC)';
COMMENT ON COLUMN core.sim_sms.final_at IS 'When its status became final (UTC)';
COMMENT ON COLUMN core.sim_sms.direction IS 'MT: to the device, MO: from it';
COMMENT ON COLUMN core.sim_sms.status IS 'Delivery status in words';
SELECT ops.guard('core.sim_sms');
