-- Events of the Data Streamer that are about no SIM, such as a setting of the account or a webhook that does not answer; and the names of
-- operators and countries, which flat records give by 1NCE's numbers alone.
SET LOCAL ROLE simsight_owner;

CREATE TABLE core.account_events (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    record_id bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    event_type text NOT NULL,
    severity text,
    alert boolean,
    description text,
    known_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, record_id)
);
COMMENT ON TABLE core.account_events IS 'One row an event of the account, which is about no SIM';
COMMENT ON COLUMN core.account_events.organization_id IS 'Organization';
COMMENT ON COLUMN core.account_events.record_id IS 'Id of the Data Streamer''s record';
COMMENT ON COLUMN core.account_events.occurred_at IS 'When it happened (UTC)';
COMMENT ON COLUMN core.account_events.event_type IS 'Type of event in 1NCE''s words';
COMMENT ON COLUMN core.account_events.severity IS 'INFO, WARN or CRITICAL, as 1NCE spells it';
COMMENT ON COLUMN core.account_events.alert IS '1NCE''s alert flag';
COMMENT ON COLUMN core.account_events.description IS 'What happened, in 1NCE''s words';
COMMENT ON COLUMN core.account_events.known_at IS 'When the record came (UTC)';
CREATE INDEX account_events_by_time ON core.account_events (organization_id, occurred_at);
SELECT ops.guard('core.account_events');

CREATE TABLE core.network_names (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    kind text NOT NULL CHECK (kind IN ('operator', 'country')),
    number bigint NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (organization_id, kind, number)
);
COMMENT ON TABLE core.network_names IS 'One row an operator or country that an event of the Data Streamer named beside its number';
COMMENT ON COLUMN core.network_names.organization_id IS 'Organization';
COMMENT ON COLUMN core.network_names.kind IS 'operator or country';
COMMENT ON COLUMN core.network_names.number IS '1NCE''s number of it';
COMMENT ON COLUMN core.network_names.name IS 'Its name, as an event said it last';
SELECT ops.guard('core.network_names', api_reads => false);
