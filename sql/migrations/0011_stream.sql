-- 1NCE's Data Streamer: who may send, what was sent, the usage records in it, and what goes wrong with it as a whole.
SET LOCAL ROLE simsight_owner;

CREATE TABLE ops.streams (
    stream_id text PRIMARY KEY CHECK (stream_id ~ '^[A-Za-z0-9_-]{8,64}$'),
    organization_id smallint NOT NULL REFERENCES core.organizations,
    name text NOT NULL,
    secret_sha256 bytea NOT NULL,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);
COMMENT ON TABLE ops.streams IS 'One row a stream that 1NCE may post to; only the SHA-256 of its secret is kept, the secret is 256 random bits';
COMMENT ON COLUMN ops.streams.stream_id IS 'Last part of the URL, and the user name';
COMMENT ON COLUMN ops.streams.organization_id IS 'The one organization whose records it brings';
COMMENT ON COLUMN ops.streams.name IS 'What it is for; unique among the live streams of an organization';
COMMENT ON COLUMN ops.streams.secret_sha256 IS 'SHA-256 of the password';
COMMENT ON COLUMN ops.streams.created_at IS 'When it was made (UTC)';
COMMENT ON COLUMN ops.streams.revoked_at IS 'When it was revoked (UTC); NULL: it was not';
CREATE UNIQUE INDEX streams_live ON ops.streams (organization_id, name) WHERE revoked_at IS NULL;
SELECT ops.guard('ops.streams', api_reads => false);

CREATE TABLE raw.stream_batches (
    batch_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    stream_id text NOT NULL,
    body_sha256 bytea NOT NULL,
    body bytea NOT NULL,
    records integer NOT NULL CHECK (records >= 0),
    received_at timestamptz NOT NULL,
    processed_at timestamptz,
    UNIQUE (organization_id, stream_id, body_sha256)
);
COMMENT ON TABLE raw.stream_batches IS 'One row a POST of the Data Streamer, or a slice of a file of its records; the same body twice is one row';
COMMENT ON COLUMN raw.stream_batches.batch_id IS 'Key';
COMMENT ON COLUMN raw.stream_batches.organization_id IS 'Organization';
COMMENT ON COLUMN raw.stream_batches.stream_id IS 'Which stream (ops.streams); files for records that came as files';
COMMENT ON COLUMN raw.stream_batches.body_sha256 IS 'SHA-256 of the body';
COMMENT ON COLUMN raw.stream_batches.body IS 'The body as it came, without its content encoding: a JSON array, or one object';
COMMENT ON COLUMN raw.stream_batches.records IS 'Records in it';
COMMENT ON COLUMN raw.stream_batches.received_at IS 'When it first came (UTC)';
COMMENT ON COLUMN raw.stream_batches.processed_at IS 'When its records were merged (UTC); NULL: they wait';
CREATE INDEX stream_batches_waiting ON raw.stream_batches (organization_id, batch_id) WHERE processed_at IS NULL;
CREATE INDEX stream_batches_by_time ON raw.stream_batches (organization_id, stream_id, received_at);
SELECT ops.guard('raw.stream_batches', api_reads => false);

CREATE TABLE raw.stream_files (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    path text NOT NULL,
    version text NOT NULL,
    records integer NOT NULL,
    landed_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, path, version)
);
COMMENT ON TABLE raw.stream_files IS 'One row a version of a file of stream records whose slices are in raw.stream_batches';
COMMENT ON COLUMN raw.stream_files.organization_id IS 'Organization';
COMMENT ON COLUMN raw.stream_files.path IS 'Path in the folder or bucket';
COMMENT ON COLUMN raw.stream_files.version IS 'Size, and ETag or time of the last change: another one is another version';
COMMENT ON COLUMN raw.stream_files.records IS 'Records in it';
COMMENT ON COLUMN raw.stream_files.landed_at IS 'When it was read (UTC)';
SELECT ops.guard('raw.stream_files', api_reads => false);

-- The HTTP service may write nothing but a POST to a stream whose secret it knows: through these two.
CREATE FUNCTION ops.stream_secret(wanted text) RETURNS bytea
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN (SELECT secret_sha256 FROM ops.streams WHERE stream_id = wanted AND revoked_at IS NULL);
COMMENT ON FUNCTION ops.stream_secret(text) IS 'SHA-256 of the secret of a stream; NULL for an unknown or revoked one';
REVOKE ALL ON FUNCTION ops.stream_secret(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.stream_secret(text) TO simsight_api;

CREATE FUNCTION ops.land_stream_batch(to_stream text, presented_sha256 bytea, sent bytea, sent_records integer, came_at timestamptz)
    RETURNS boolean
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH live AS (
        SELECT organization_id, stream_id FROM ops.streams
        WHERE stream_id = to_stream AND secret_sha256 = presented_sha256 AND revoked_at IS NULL
    ), landed AS (
        INSERT INTO raw.stream_batches (organization_id, stream_id, body_sha256, body, records, received_at)
        SELECT organization_id, stream_id, sha256(sent), sent, sent_records, came_at FROM live
        ON CONFLICT (organization_id, stream_id, body_sha256) DO NOTHING
    )
    SELECT EXISTS (SELECT FROM live);
END;
COMMENT ON FUNCTION ops.land_stream_batch(text, bytea, bytea, integer, timestamptz) IS
    'Keeps the body of a POST, once, for the organization of the stream; false, and nothing kept, when the stream or its secret is not known';
REVOKE ALL ON FUNCTION ops.land_stream_batch(text, bytea, bytea, integer, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.land_stream_batch(text, bytea, bytea, integer, timestamptz) TO simsight_api;

CREATE TABLE core.stream_usage (
    record_id bigint NOT NULL,
    bytes bigint NOT NULL CHECK (bytes >= 0),
    bytes_rx bigint CHECK (bytes_rx BETWEEN 0 AND bytes),
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL CHECK (ended_at >= started_at),
    known_at timestamptz NOT NULL,
    sim_key integer NOT NULL,
    day date NOT NULL,
    sms integer NOT NULL CHECK (sms >= 0),
    organization_id smallint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('data', 'sms')),
    PRIMARY KEY (organization_id, record_id, day)
);
COMMENT ON TABLE core.stream_usage IS
    'One row a usage record of the Data Streamer and UTC day. An early view of the days not closed yet: never to be added to core.sim_usage';
COMMENT ON COLUMN core.stream_usage.record_id IS '1NCE''s id of the record';
COMMENT ON COLUMN core.stream_usage.bytes IS
    'Data volume in bytes (millionths of a MB), of a record over midnight the share of this day; 0 for SMS';
COMMENT ON COLUMN core.stream_usage.bytes_rx IS 'Of these, received by the device; NULL where the record does not say, and for SMS';
COMMENT ON COLUMN core.stream_usage.started_at IS 'Start of the whole record (UTC)';
COMMENT ON COLUMN core.stream_usage.ended_at IS 'End of the whole record (UTC)';
COMMENT ON COLUMN core.stream_usage.known_at IS 'When the record came (UTC)';
COMMENT ON COLUMN core.stream_usage.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN core.stream_usage.day IS 'UTC day';
COMMENT ON COLUMN core.stream_usage.sms IS 'Messages, to and from the device; 0 for data';
COMMENT ON COLUMN core.stream_usage.organization_id IS 'Organization';
COMMENT ON COLUMN core.stream_usage.kind IS 'data or sms';
SELECT ops.make_hypertable('core.stream_usage', 'day', '30 days');
CREATE INDEX stream_usage_by_sim ON core.stream_usage (sim_key, day);
SELECT ops.guard('core.stream_usage');

ALTER TABLE core.sim_events ADD COLUMN record_id bigint;
COMMENT ON COLUMN core.sim_events.record_id IS 'Id of the Data Streamer''s record; NULL where the event came by polling first';
CREATE INDEX sim_events_by_record ON core.sim_events (organization_id, record_id) WHERE record_id IS NOT NULL;

CREATE TABLE ops.incidents (
    incident_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    kind text NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    message text NOT NULL,
    details jsonb NOT NULL
);
COMMENT ON TABLE ops.incidents IS 'One row a fault of the pipeline''s surroundings, from its opening to its end; it says nothing of single SIMs';
COMMENT ON COLUMN ops.incidents.incident_id IS 'Key';
COMMENT ON COLUMN ops.incidents.organization_id IS 'Organization';
COMMENT ON COLUMN ops.incidents.kind IS 'stream_outage: a stream that used to deliver delivers nothing';
COMMENT ON COLUMN ops.incidents.opened_at IS 'When it was found (UTC)';
COMMENT ON COLUMN ops.incidents.closed_at IS 'When it was found to be over (UTC); NULL while it lasts';
COMMENT ON COLUMN ops.incidents.message IS 'What is wrong, for people';
COMMENT ON COLUMN ops.incidents.details IS 'The same as values; stream_outage: the silent streams by id, each with last_at';
CREATE UNIQUE INDEX incidents_open ON ops.incidents (organization_id, kind) WHERE closed_at IS NULL;
SELECT ops.guard('ops.incidents', api_reads => false);

-- How far the book reaches for a SIM; asked by the view below, whose readers may not read ops.
CREATE FUNCTION ops.usage_booked_to(wanted integer) RETURNS date
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN (
        SELECT covered_to FROM ops.polls
        WHERE sim_key = wanted AND source = 'usage' AND organization_id = ops.current_organization()
    );
COMMENT ON FUNCTION ops.usage_booked_to(integer) IS 'Last complete day that usage answers cover for a SIM of the own organization; NULL: none';
REVOKE ALL ON FUNCTION ops.usage_booked_to(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.usage_booked_to(integer) TO simsight_pipeline, simsight_api;

-- LATERAL, so that asking for one SIM or one day touches only its rows.
CREATE VIEW core.sim_usage_early_v1 WITH (security_invoker = true) AS
SELECT s.organization_id, s.iccid, d.day,
       CASE WHEN d.early THEN d.streamed ELSE coalesce(d.booked, 0) END AS bytes,
       CASE WHEN d.early THEN 'stream' ELSE 'book' END AS source
FROM core.sims AS s
CROSS JOIN LATERAL (
    SELECT day, booked, streamed,
           -- the book is closed for a day when it was asked after the following day had ended
           CASE WHEN streamed > coalesce(booked, 0) THEN coalesce(ops.usage_booked_to(s.sim_key) <= day, true) ELSE false END
               AS early
    FROM (SELECT u.day, u.bytes AS booked FROM core.sim_usage AS u WHERE u.sim_key = s.sim_key) AS book
    FULL JOIN (
        SELECT t.day, sum(t.bytes)::bigint AS streamed FROM core.stream_usage AS t WHERE t.sim_key = s.sim_key GROUP BY t.day
    ) AS stream USING (day)
) AS d;
COMMENT ON VIEW core.sim_usage_early_v1 IS
    'One row a SIM and UTC day, with days under way. bytes (millionths of a MB): the book (daily usage call) for closed days; for a day '
    'not closed yet the greater of book and stream, since each is a lower bound. source says which of the two it is';
GRANT SELECT ON core.sim_usage_early_v1 TO simsight_pipeline, simsight_api;
