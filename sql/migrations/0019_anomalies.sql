-- What is unlike itself or unlike its peers: anomalies a SIM and day, the incidents that share one cause, and what people said of them.
SET LOCAL ROLE simsight_owner;

CREATE TABLE predictions.incidents (
    incident_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    kind text NOT NULL,
    title text NOT NULL,
    scope jsonb NOT NULL,
    first_day date NOT NULL,
    last_day date NOT NULL CHECK (last_day >= first_day),
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    sims integer NOT NULL CHECK (sims > 0),
    model_version integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
COMMENT ON TABLE predictions.incidents IS 'One row a cause that many SIMs share: their anomalies are its members (predictions.anomalies.incident_id)';
COMMENT ON COLUMN predictions.incidents.incident_id IS 'Key, rising with time';
COMMENT ON COLUMN predictions.incidents.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.incidents.kind IS 'Kind of its anomalies; fleet_event: they are of several kinds, or of the whole fleet';
COMMENT ON COLUMN predictions.incidents.title IS 'What happened to whom, in a sentence with numbers';
COMMENT ON COLUMN predictions.incidents.scope IS 'What its SIMs have in common, by attribute: device_type, label_prefix, country, operator, batch; {} is the whole fleet';
COMMENT ON COLUMN predictions.incidents.first_day IS 'UTC day of its first anomaly';
COMMENT ON COLUMN predictions.incidents.last_day IS 'UTC day of its last anomaly so far';
COMMENT ON COLUMN predictions.incidents.severity IS 'info, warning or critical: the worst of its days';
COMMENT ON COLUMN predictions.incidents.sims IS 'SIMs with an anomaly that belongs to it';
COMMENT ON COLUMN predictions.incidents.model_version IS 'Version of the anomaly detector that saw it last';
COMMENT ON COLUMN predictions.incidents.created_at IS 'When it was first seen (UTC)';
COMMENT ON COLUMN predictions.incidents.updated_at IS 'When it last changed (UTC)';
CREATE INDEX incidents_by_day ON predictions.incidents (organization_id, last_day, kind);
SELECT ops.guard('predictions.incidents');

CREATE TABLE predictions.anomalies (
    anomaly_id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    sim_key integer NOT NULL REFERENCES core.sims,
    day date NOT NULL,
    kind text NOT NULL CHECK (kind IN ('spike', 'runaway', 'drift', 'silence', 'dead', 'new_pattern', 'sms_flood', 'flapping',
        'imei_change', 'unexpected_country', 'unexpected_operator')),
    organization_id smallint NOT NULL REFERENCES core.organizations,
    score double precision NOT NULL,
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    reasons text NOT NULL,
    value double precision,
    expected double precision,
    unit text CHECK (unit IN ('bytes', 'messages', 'sessions', 'days')),
    first_day date NOT NULL,
    incident_id bigint REFERENCES predictions.incidents ON DELETE SET NULL,
    model_version integer NOT NULL,
    as_of date NOT NULL,
    detected_at timestamptz NOT NULL,
    live boolean NOT NULL,
    PRIMARY KEY (sim_key, day, kind)
);
COMMENT ON TABLE predictions.anomalies IS 'One row a SIM, UTC day and kind of anomaly. Found live on a day under way, it is confirmed or taken back when the day is closed';
COMMENT ON COLUMN predictions.anomalies.anomaly_id IS 'Key, rising with time';
COMMENT ON COLUMN predictions.anomalies.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN predictions.anomalies.day IS 'UTC day on which it is anomalous';
COMMENT ON COLUMN predictions.anomalies.kind IS 'spike: far above its usual; runaway: keeps rising; drift: a lasting new level; silence: nothing for far longer than its usual gap; '
    'dead: silence that is not expected to end; new_pattern: an unusual mix; sms_flood; flapping: connects again and again; imei_change; unexpected_country; unexpected_operator';
COMMENT ON COLUMN predictions.anomalies.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.anomalies.score IS 'How rare it is among clean SIM-days: minus the decimal logarithm of the share at least as odd; 3 is one in 1,000';
COMMENT ON COLUMN predictions.anomalies.severity IS 'info, warning or critical, from size, cost at risk and persistence';
COMMENT ON COLUMN predictions.anomalies.reasons IS 'Why, in a sentence with numbers';
COMMENT ON COLUMN predictions.anomalies.value IS 'What was measured, in the unit';
COMMENT ON COLUMN predictions.anomalies.expected IS 'What was usual for this SIM and weekday, in the unit';
COMMENT ON COLUMN predictions.anomalies.unit IS 'bytes (millionths of a MB), messages, sessions or days (of silence); NULL where nothing is measured';
COMMENT ON COLUMN predictions.anomalies.first_day IS 'UTC day on which this anomaly began: the same as day when it is new';
COMMENT ON COLUMN predictions.anomalies.incident_id IS 'Incident it belongs to (predictions.incidents); NULL: this SIM alone';
COMMENT ON COLUMN predictions.anomalies.model_version IS 'Version of the anomaly detector';
COMMENT ON COLUMN predictions.anomalies.as_of IS 'Last complete day that was known; of a live one, the day its limits rest on';
COMMENT ON COLUMN predictions.anomalies.detected_at IS 'When it was first found (UTC)';
COMMENT ON COLUMN predictions.anomalies.live IS 'Found on a day that was still under way, not confirmed yet';
CREATE INDEX anomalies_by_day ON predictions.anomalies (organization_id, day, score DESC);
CREATE INDEX anomalies_by_incident ON predictions.anomalies (incident_id) WHERE incident_id IS NOT NULL;
SELECT ops.guard('predictions.anomalies');

CREATE TABLE predictions.anomaly_feedback (
    feedback_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    sim_key integer REFERENCES core.sims,
    label text,
    kind text,
    said_by text NOT NULL,
    said_at timestamptz NOT NULL,
    note text NOT NULL DEFAULT '',
    undone_by text,
    undone_at timestamptz,
    CHECK (num_nonnulls(sim_key, label, kind) > 0 AND num_nonnulls(sim_key, label) < 2)
);
COMMENT ON TABLE predictions.anomaly_feedback IS 'One row a false alarm that a person acknowledged: what it is about must be odder from then on to be raised again';
COMMENT ON COLUMN predictions.anomaly_feedback.feedback_id IS 'Key, rising with time';
COMMENT ON COLUMN predictions.anomaly_feedback.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.anomaly_feedback.sim_key IS 'It is about this SIM (core.sims); NULL: not about one SIM';
COMMENT ON COLUMN predictions.anomaly_feedback.label IS 'It is about SIMs whose label begins so; NULL: not about a label';
COMMENT ON COLUMN predictions.anomaly_feedback.kind IS 'It is about this kind of anomaly; NULL: about every kind';
COMMENT ON COLUMN predictions.anomaly_feedback.said_by IS 'Who acknowledged it';
COMMENT ON COLUMN predictions.anomaly_feedback.said_at IS 'When (UTC)';
COMMENT ON COLUMN predictions.anomaly_feedback.note IS 'Why';
COMMENT ON COLUMN predictions.anomaly_feedback.undone_by IS 'Who took it back; NULL: it holds';
COMMENT ON COLUMN predictions.anomaly_feedback.undone_at IS 'When it was taken back (UTC); NULL: it holds';
SELECT ops.guard('predictions.anomaly_feedback');

CREATE TABLE predictions.anomaly_state (
    sim_key integer PRIMARY KEY REFERENCES core.sims,
    organization_id smallint NOT NULL,
    as_of date NOT NULL,
    model_version integer NOT NULL,
    bytes_limits bigint[] NOT NULL CHECK (cardinality(bytes_limits) = 7),
    bytes_usual bigint[] NOT NULL CHECK (cardinality(bytes_usual) = 7),
    sms_limit integer NOT NULL,
    sessions_limit integer NOT NULL,
    imei text,
    countries text[] NOT NULL,
    operators text[] NOT NULL,
    prepared_at timestamptz NOT NULL
);
COMMENT ON TABLE predictions.anomaly_state IS 'One row a SIM: the limits that the days under way are held against, prepared with the closed days';
COMMENT ON COLUMN predictions.anomaly_state.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN predictions.anomaly_state.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.anomaly_state.as_of IS 'Last complete day it rests on';
COMMENT ON COLUMN predictions.anomaly_state.model_version IS 'Version of the anomaly detector';
COMMENT ON COLUMN predictions.anomaly_state.bytes_limits IS 'Most bytes (millionths of a MB) of a day that are not an anomaly, Monday to Sunday';
COMMENT ON COLUMN predictions.anomaly_state.bytes_usual IS 'Usual bytes of a day, Monday to Sunday';
COMMENT ON COLUMN predictions.anomaly_state.sms_limit IS 'Most SMS of a day, both ways';
COMMENT ON COLUMN predictions.anomaly_state.sessions_limit IS 'Most data sessions begun on a day';
COMMENT ON COLUMN predictions.anomaly_state.imei IS 'Last known device; NULL: none';
COMMENT ON COLUMN predictions.anomaly_state.countries IS 'Countries in which it was seen; {}: not known';
COMMENT ON COLUMN predictions.anomaly_state.operators IS 'Operators on whose network it was seen; {}: not known';
COMMENT ON COLUMN predictions.anomaly_state.prepared_at IS 'When it was prepared (UTC)';
SELECT ops.guard('predictions.anomaly_state', api_reads => false);
GRANT USAGE ON ALL SEQUENCES IN SCHEMA predictions TO simsight_pipeline;

CREATE VIEW predictions.anomalies_v1 WITH (security_invoker = true) AS
SELECT a.organization_id, a.anomaly_id, s.iccid, coalesce(s.own_label, s.label) AS label, a.day, a.kind, a.score, a.severity, a.reasons,
       a.value, a.expected, a.unit, a.first_day, a.incident_id, a.model_version, a.as_of, a.detected_at, a.live
FROM predictions.anomalies AS a JOIN core.sims AS s USING (sim_key);
COMMENT ON VIEW predictions.anomalies_v1 IS 'One row a SIM, UTC day and kind of anomaly, with the reason in a sentence. value and expected are in the unit; bytes are millionths of a MB';

CREATE VIEW predictions.incidents_v1 WITH (security_invoker = true) AS
SELECT organization_id, incident_id, kind, title, scope, first_day, last_day, severity, sims, model_version, created_at, updated_at
FROM predictions.incidents;
COMMENT ON VIEW predictions.incidents_v1 IS 'One row a cause that many SIMs share; its members are the rows of anomalies_v1 with its incident_id';
GRANT SELECT ON predictions.anomalies_v1, predictions.incidents_v1 TO simsight_pipeline, simsight_api;
