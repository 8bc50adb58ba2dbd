-- What came, as it came; what was refused, and why; and how far the polling is.
SET LOCAL ROLE simsight_owner;

CREATE TABLE raw.landings (
    landing_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    source text NOT NULL,
    request text NOT NULL,
    body_sha256 bytea NOT NULL,
    body text NOT NULL,
    received_at timestamptz NOT NULL,
    UNIQUE (organization_id, source, request, body_sha256)
);
COMMENT ON TABLE raw.landings IS 'One row an answer or file, byte for byte; the same answer twice is one row';
COMMENT ON COLUMN raw.landings.landing_id IS 'Key';
COMMENT ON COLUMN raw.landings.organization_id IS 'Organization';
COMMENT ON COLUMN raw.landings.source IS 'Which call or kind of file: sims, usage, quota, status, events, sms, products, orders, tickets, file';
COMMENT ON COLUMN raw.landings.request IS 'Path with query of the call, or name of the file';
COMMENT ON COLUMN raw.landings.body_sha256 IS 'SHA-256 of the body';
COMMENT ON COLUMN raw.landings.body IS 'The body as it came';
COMMENT ON COLUMN raw.landings.received_at IS 'When it first came (UTC)';
ALTER TABLE raw.landings SET (toast_tuple_target = 128);  -- compress small bodies too: JSON shrinks to a tenth
CREATE INDEX landings_by_time ON raw.landings (organization_id, received_at);
SELECT ops.guard('raw.landings', api_reads => false);

CREATE TABLE ops.quarantine (
    quarantine_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    source text NOT NULL,
    record_key text NOT NULL,
    reason text NOT NULL,
    record jsonb NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    resolved_at timestamptz,
    resolution text CHECK (resolution IN ('replayed', 'superseded')),
    UNIQUE (organization_id, source, record_key, reason)
);
COMMENT ON TABLE ops.quarantine IS 'One row a record that broke a rule; open while resolved_at is NULL';
COMMENT ON COLUMN ops.quarantine.quarantine_id IS 'Key';
COMMENT ON COLUMN ops.quarantine.organization_id IS 'Organization';
COMMENT ON COLUMN ops.quarantine.source IS 'Which call or kind of file it came from';
COMMENT ON COLUMN ops.quarantine.record_key IS 'What the record is about, such as ICCID and day; a digest where the record does not say';
COMMENT ON COLUMN ops.quarantine.reason IS 'The rule it broke: field, value and what was expected';
COMMENT ON COLUMN ops.quarantine.record IS 'The record as it came, with what a replay needs';
COMMENT ON COLUMN ops.quarantine.first_seen_at IS 'When it first came (UTC)';
COMMENT ON COLUMN ops.quarantine.last_seen_at IS 'When it last came (UTC)';
COMMENT ON COLUMN ops.quarantine.resolved_at IS 'When it was settled (UTC); NULL while open';
COMMENT ON COLUMN ops.quarantine.resolution IS 'replayed: passed the rules later; superseded: a good record for the same key came';
CREATE INDEX quarantine_open ON ops.quarantine (organization_id, source) WHERE resolved_at IS NULL;
SELECT ops.guard('ops.quarantine', api_reads => false);
