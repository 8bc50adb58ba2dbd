-- Reports of a period: when they are made, what was made, and the messages that bring them.
SET LOCAL ROLE simsight_owner;

CREATE TABLE ops.report_schedules (
    schedule_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
    every text NOT NULL CHECK (every IN ('daily', 'weekly', 'monthly')),
    label text CHECK (length(label) BETWEEN 1 AND 500),
    country text CHECK (length(country) BETWEEN 1 AND 100),
    formats text[] NOT NULL CHECK (formats <@ ARRAY['json', 'csv', 'xlsx', 'html', 'pdf'] AND cardinality(formats) > 0),
    channel_ids integer[] NOT NULL,
    at_time time NOT NULL,
    time_zone text NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    UNIQUE (organization_id, name)
);
COMMENT ON TABLE ops.report_schedules IS 'One row a report that is made again and again: of which period, of which SIMs, in which formats, and who gets it';
COMMENT ON COLUMN ops.report_schedules.schedule_id IS 'Key';
COMMENT ON COLUMN ops.report_schedules.organization_id IS 'Organization';
COMMENT ON COLUMN ops.report_schedules.name IS 'Name';
COMMENT ON COLUMN ops.report_schedules.every IS 'daily: of each complete day; weekly: of each week from Monday to Sunday; monthly: of each month (UTC days)';
COMMENT ON COLUMN ops.report_schedules.label IS 'Only SIMs whose label begins so; NULL: all';
COMMENT ON COLUMN ops.report_schedules.country IS 'Only SIMs last seen there; NULL: all';
COMMENT ON COLUMN ops.report_schedules.formats IS 'json, csv, xlsx, html, pdf';
COMMENT ON COLUMN ops.report_schedules.channel_ids IS 'Channels that get it (ops.channels); empty: it is kept only';
COMMENT ON COLUMN ops.report_schedules.at_time IS 'Local time from which it is made, once its last day is complete';
COMMENT ON COLUMN ops.report_schedules.time_zone IS 'Time zone of at_time';
COMMENT ON COLUMN ops.report_schedules.created_at IS 'When it was written (UTC); periods that were due before are not made';
COMMENT ON COLUMN ops.report_schedules.created_by IS 'Who wrote it';
SELECT ops.guard('ops.report_schedules', api_reads => false);
CREATE TRIGGER logged_new AFTER INSERT ON ops.report_schedules REFERENCING NEW TABLE AS after_it
    FOR EACH STATEMENT EXECUTE FUNCTION ops.log_inserts('report-schedule', 'schedule_id', 'created_by', '{name,every}', 'schedule_id');
CREATE TRIGGER logged_gone AFTER DELETE ON ops.report_schedules REFERENCING OLD TABLE AS before_it
    FOR EACH STATEMENT EXECUTE FUNCTION ops.log_deletes('report-schedule', 'schedule_id', 'created_by', '{name,every}', 'schedule_id');

CREATE TABLE predictions.period_reports (
    report_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    schedule_id integer REFERENCES ops.report_schedules ON DELETE SET NULL,
    name text NOT NULL,
    first_day date NOT NULL,
    last_day date NOT NULL CHECK (last_day >= first_day),
    as_of date,
    label text,
    country text,
    data_note text NOT NULL,
    reading text NOT NULL,
    made_at timestamptz NOT NULL,
    CONSTRAINT period_reports_once UNIQUE (schedule_id, first_day, last_day)
);
COMMENT ON TABLE predictions.period_reports IS 'One row a report of a period that is kept, for SIMSIGHT_REPORT_DAYS';
COMMENT ON COLUMN predictions.period_reports.report_id IS 'Key, rising with time';
COMMENT ON COLUMN predictions.period_reports.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.period_reports.schedule_id IS 'Who asked for it (ops.report_schedules), once a period; NULL: a person did';
COMMENT ON COLUMN predictions.period_reports.name IS 'Of the schedule, or given by who made it';
COMMENT ON COLUMN predictions.period_reports.first_day IS 'First UTC day it is about';
COMMENT ON COLUMN predictions.period_reports.last_day IS 'Last UTC day it is about';
COMMENT ON COLUMN predictions.period_reports.as_of IS 'Last day that its predictions knew; NULL: it has none';
COMMENT ON COLUMN predictions.period_reports.label IS 'Only of SIMs whose label begins so; NULL: all';
COMMENT ON COLUMN predictions.period_reports.country IS 'Only of SIMs last seen there; NULL: all';
COMMENT ON COLUMN predictions.period_reports.data_note IS 'What is to be said of the data, such as synthetic data; empty for a real fleet';
COMMENT ON COLUMN predictions.period_reports.reading IS 'What it says first, in a sentence';
COMMENT ON COLUMN predictions.period_reports.made_at IS 'When it was made (UTC)';
CREATE INDEX period_reports_by_organization ON predictions.period_reports (organization_id, report_id);
SELECT ops.guard('predictions.period_reports');

CREATE TABLE predictions.report_files (
    report_id bigint NOT NULL REFERENCES predictions.period_reports ON DELETE CASCADE,
    format text NOT NULL CHECK (format IN ('json', 'csv', 'xlsx', 'html', 'pdf')),
    organization_id smallint NOT NULL REFERENCES core.organizations,
    file_name text NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (report_id, format)
);
COMMENT ON TABLE predictions.report_files IS 'One row a file of a report that is kept';
COMMENT ON COLUMN predictions.report_files.report_id IS 'Report (predictions.period_reports)';
COMMENT ON COLUMN predictions.report_files.format IS 'json, csv (a zip), xlsx, html or pdf';
COMMENT ON COLUMN predictions.report_files.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.report_files.file_name IS 'Name for whoever stores it';
COMMENT ON COLUMN predictions.report_files.content IS 'The file';
ALTER TABLE predictions.report_files ALTER content SET STORAGE EXTERNAL;  -- files are compressed already
SELECT ops.guard('predictions.report_files');

ALTER TABLE ops.notifications ADD COLUMN report_id bigint REFERENCES predictions.period_reports ON DELETE SET NULL;
ALTER TABLE ops.notifications ADD CONSTRAINT notifications_report_once UNIQUE (report_id, channel_id);
COMMENT ON COLUMN ops.notifications.report_id IS 'The report it brings (predictions.period_reports), once a channel; NULL: it is about alerts';
COMMENT ON COLUMN ops.notifications.stage IS 'opened, raised, open again, resolved, escalation, digest, report or test: which message of the life of its alerts it is';

-- What a report says of faults in the data, counted: the HTTP service reads neither the records nor who was asked.
CREATE FUNCTION ops.quarantine_counts() RETURNS TABLE (source text, reason text, records bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT q.source, q.reason, count(*) FROM ops.quarantine AS q
    WHERE q.organization_id = (SELECT ops.current_organization()) AND q.resolved_at IS NULL
    GROUP BY q.source, q.reason;
END;
COMMENT ON FUNCTION ops.quarantine_counts() IS 'One row a source and reason of open quarantined records of the organization of the session';
REVOKE ALL ON FUNCTION ops.quarantine_counts() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.quarantine_counts() TO simsight_api, simsight_pipeline;

CREATE FUNCTION ops.poll_problems(of_sims integer[]) RETURNS TABLE (source text, problem text, sims bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT p.source, p.problem, count(*) FROM ops.polls AS p
    WHERE p.organization_id = (SELECT ops.current_organization()) AND p.problem IS NOT NULL
        AND (of_sims IS NULL OR p.sim_key = ANY (of_sims))
    GROUP BY p.source, p.problem;
END;
COMMENT ON FUNCTION ops.poll_problems(integer[]) IS
    'SIMs whose last call gave nothing, by call and problem, for the organization of the session; of some SIMs, or of all (NULL)';
REVOKE ALL ON FUNCTION ops.poll_problems(integer[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.poll_problems(integer[]) TO simsight_api, simsight_pipeline;
