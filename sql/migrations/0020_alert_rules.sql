-- Alerts that a customer makes: rules, the life of an alert and its history, and the outbox that tells people, each once.
SET LOCAL ROLE simsight_owner;

ALTER TABLE ops.api_keys ADD COLUMN can_write boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN ops.api_keys.can_write IS 'Whether it may also acknowledge, snooze and resolve alerts and write alert rules; else it reads only';

CREATE TABLE predictions.alert_rules (
    rule_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    name text NOT NULL CHECK (name = btrim(name) AND length(name) BETWEEN 1 AND 100),
    metric text NOT NULL,
    operator text NOT NULL CHECK (operator IN ('>', '>=', '<', '<=')),
    threshold double precision NOT NULL CHECK (threshold BETWEEN -1e15 AND 1e15),
    for_days smallint NOT NULL CHECK (for_days BETWEEN 1 AND 90),
    scope jsonb NOT NULL CHECK (jsonb_typeof(scope) = 'object'),
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    enabled boolean NOT NULL,
    version integer NOT NULL DEFAULT 1,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    evaluated_as_of date,
    evaluated_at timestamptz,
    holding integer,
    error text,
    deleted_at timestamptz
);
COMMENT ON TABLE predictions.alert_rules IS 'One row a rule that a customer wrote: alert when a metric of a SIM or of the fleet crosses a threshold';
COMMENT ON COLUMN predictions.alert_rules.rule_id IS 'Key';
COMMENT ON COLUMN predictions.alert_rules.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.alert_rules.name IS 'Name, unique among the rules that are not deleted';
COMMENT ON COLUMN predictions.alert_rules.metric IS 'What is measured: one of those of docs/alerts.md';
COMMENT ON COLUMN predictions.alert_rules.operator IS 'How the value is held against the threshold: >, >=, < or <=';
COMMENT ON COLUMN predictions.alert_rules.threshold IS 'What it is held against, in the unit of the metric';
COMMENT ON COLUMN predictions.alert_rules.for_days IS 'As-of days in a row on which it must hold before the alert is opened';
COMMENT ON COLUMN predictions.alert_rules.scope IS 'Whom it is about: {} the organization, {"label_prefix": "pump-"}, or {"iccids": ["..."]}';
COMMENT ON COLUMN predictions.alert_rules.severity IS 'Severity of its alerts: info, warning or critical';
COMMENT ON COLUMN predictions.alert_rules.enabled IS 'Whether it is evaluated';
COMMENT ON COLUMN predictions.alert_rules.version IS 'Rises by one with every change of what it says';
COMMENT ON COLUMN predictions.alert_rules.created_by IS 'Who wrote it: a user of the command line, or an API key by its name';
COMMENT ON COLUMN predictions.alert_rules.created_at IS 'When it was first written (UTC)';
COMMENT ON COLUMN predictions.alert_rules.changed_at IS 'When it was last written, switched on or off (UTC)';
COMMENT ON COLUMN predictions.alert_rules.evaluated_as_of IS 'Last as-of day it was evaluated for; NULL: never';
COMMENT ON COLUMN predictions.alert_rules.evaluated_at IS 'When it was last evaluated, or tried to be (UTC)';
COMMENT ON COLUMN predictions.alert_rules.holding IS 'SIMs for which it held then (1 for a metric of the fleet)';
COMMENT ON COLUMN predictions.alert_rules.error IS 'Why the last evaluation came to nothing; NULL: it did not';
COMMENT ON COLUMN predictions.alert_rules.deleted_at IS 'When it was deleted (UTC); its alerts stay; NULL: it is there';
CREATE UNIQUE INDEX alert_rules_name ON predictions.alert_rules (organization_id, name) WHERE deleted_at IS NULL;
SELECT ops.guard('predictions.alert_rules');

ALTER TABLE predictions.alerts
    ALTER COLUMN sim_key DROP NOT NULL,
    DROP CONSTRAINT alerts_kind_check,
    ADD COLUMN rule_id integer REFERENCES predictions.alert_rules,
    ADD COLUMN rule_version integer,
    ADD COLUMN incident_id bigint,
    ADD COLUMN state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'acknowledged', 'snoozed', 'resolved')),
    ADD COLUMN snoozed_until timestamptz,
    ADD COLUMN acted_by text,
    ADD COLUMN acted_at timestamptz,
    ADD COLUMN note text;
UPDATE predictions.alerts SET state = 'resolved' WHERE closed_at IS NOT NULL;
ALTER TABLE predictions.alerts
    ADD CHECK (kind IN ('exhaustion', 'quota_80', 'silent', 'anomaly', 'rule', 'incident')),
    ADD CHECK ((kind = 'rule') = (rule_id IS NOT NULL)),
    ADD CHECK ((kind = 'incident') = (incident_id IS NOT NULL)),
    ADD CHECK (sim_key IS NOT NULL OR kind IN ('rule', 'incident')),
    ADD CHECK ((state = 'resolved') = (closed_at IS NOT NULL));
COMMENT ON COLUMN predictions.alerts.sim_key IS 'SIM (core.sims); NULL: the alert is about the fleet or an incident';
COMMENT ON COLUMN predictions.alerts.kind IS 'exhaustion: will run out soon; quota_80: this share of the quota is used; silent: not heard of for unusually long; anomaly: unlike itself or its peers, for a cause of its own; rule: a rule of the customer; incident: many SIMs, one cause';
COMMENT ON COLUMN predictions.alerts.value IS 'What was measured last: probability, share used, days silent, or the metric of the rule in its unit';
COMMENT ON COLUMN predictions.alerts.rule_id IS 'Rule that opened it (predictions.alert_rules); NULL: none';
COMMENT ON COLUMN predictions.alerts.rule_version IS 'Version of that rule that saw it last';
COMMENT ON COLUMN predictions.alerts.incident_id IS 'Incident it is about (predictions.incidents); NULL: none';
COMMENT ON COLUMN predictions.alerts.state IS 'open, acknowledged (somebody sees to it), snoozed (until snoozed_until) or resolved (closed)';
COMMENT ON COLUMN predictions.alerts.snoozed_until IS 'Until when it is, or was last, snoozed (UTC)';
COMMENT ON COLUMN predictions.alerts.acted_by IS 'Who last acknowledged, snoozed, reopened or resolved it; NULL: nobody. The pipeline closing it does not count';
COMMENT ON COLUMN predictions.alerts.acted_at IS 'When (UTC); equal to closed_at where a person resolved it';
COMMENT ON COLUMN predictions.alerts.note IS 'What was said with that';
DROP INDEX predictions.alerts_one_open;
CREATE UNIQUE INDEX alerts_one_open ON predictions.alerts (sim_key, kind) WHERE closed_at IS NULL AND kind NOT IN ('rule', 'incident');
CREATE UNIQUE INDEX alerts_one_open_of_rule ON predictions.alerts (rule_id, sim_key) NULLS NOT DISTINCT
    WHERE closed_at IS NULL AND kind = 'rule';
CREATE UNIQUE INDEX alerts_one_of_incident ON predictions.alerts (incident_id) WHERE kind = 'incident';
CREATE INDEX alerts_open ON predictions.alerts (organization_id, opened_at) WHERE closed_at IS NULL;
CREATE INDEX alerts_closed ON predictions.alerts (organization_id, closed_at) WHERE closed_at IS NOT NULL;

CREATE TABLE predictions.alert_history (
    history_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    alert_id bigint NOT NULL,
    event text NOT NULL CHECK (event IN ('opened', 'severity', 'acknowledged', 'snoozed', 'reopened', 'resolved')),
    at timestamptz NOT NULL,
    who text,
    note text,
    state text NOT NULL,
    severity text NOT NULL,
    value double precision,
    as_of date NOT NULL
);
COMMENT ON TABLE predictions.alert_history IS 'One row an event in the life of an alert; only ever added to';
COMMENT ON COLUMN predictions.alert_history.history_id IS 'Key; within an organization it rises in the order in which events become visible: who has seen one has seen all before it';
COMMENT ON COLUMN predictions.alert_history.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.alert_history.alert_id IS 'Alert (predictions.alerts)';
COMMENT ON COLUMN predictions.alert_history.event IS 'opened; severity: it grew louder or quieter; acknowledged; snoozed; reopened: by hand or because its snooze is over; resolved';
COMMENT ON COLUMN predictions.alert_history.at IS 'When (UTC)';
COMMENT ON COLUMN predictions.alert_history.who IS 'Who did it; NULL: the pipeline';
COMMENT ON COLUMN predictions.alert_history.note IS 'What was said with it';
COMMENT ON COLUMN predictions.alert_history.state IS 'State of the alert after it';
COMMENT ON COLUMN predictions.alert_history.severity IS 'Severity after it';
COMMENT ON COLUMN predictions.alert_history.value IS 'What was measured last by then';
COMMENT ON COLUMN predictions.alert_history.as_of IS 'Last as-of day on which the alert had held by then';
CREATE INDEX alert_history_by_organization ON predictions.alert_history (organization_id, history_id);
CREATE INDEX alert_history_by_alert ON predictions.alert_history (alert_id, history_id);
SELECT ops.guard('predictions.alert_history');
REVOKE INSERT, UPDATE, DELETE ON predictions.alert_history FROM simsight_pipeline;  -- only the triggers below add to it

CREATE FUNCTION predictions.alert_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.closed_at IS NOT NULL THEN
        NEW.state := 'resolved';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION predictions.alert_state() IS 'Who closes an alert need not know of states';
CREATE TRIGGER alert_state BEFORE INSERT OR UPDATE OF closed_at ON predictions.alerts
    FOR EACH ROW WHEN (NEW.closed_at IS NOT NULL) EXECUTE FUNCTION predictions.alert_state();

-- Whoever changes alerts, in whatever way: the history is written in the same transaction, and listeners are told when it commits.
-- The lock keeps the keys of one organization in the order of their commits.
CREATE FUNCTION predictions.remember_alerts() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    organization smallint;
BEGIN
    IF TG_OP = 'INSERT' THEN
        FOR organization IN SELECT DISTINCT organization_id FROM after_it ORDER BY 1 LOOP
            PERFORM pg_advisory_xact_lock(7465003, organization);
            PERFORM pg_notify('simsight_alerts', organization::text);
        END LOOP;
        INSERT INTO predictions.alert_history (organization_id, alert_id, event, at, who, note, state, severity, value, as_of)
        SELECT organization_id, alert_id, CASE state WHEN 'resolved' THEN 'resolved' ELSE 'opened' END, opened_at, acted_by, note, state,
               severity, value, seen_as_of
        FROM after_it ORDER BY alert_id;
    ELSE
        FOR organization IN
            SELECT DISTINCT a.organization_id FROM after_it AS a JOIN before_it AS b USING (alert_id)
            WHERE (a.state, a.severity, a.acted_at) IS DISTINCT FROM (b.state, b.severity, b.acted_at) ORDER BY 1
        LOOP
            PERFORM pg_advisory_xact_lock(7465003, organization);
            PERFORM pg_notify('simsight_alerts', organization::text);
        END LOOP;
        INSERT INTO predictions.alert_history (organization_id, alert_id, event, at, who, note, state, severity, value, as_of)
        SELECT a.organization_id, a.alert_id,
               CASE WHEN (a.state, a.acted_at) IS NOT DISTINCT FROM (b.state, b.acted_at) THEN 'severity'
                    WHEN a.state = 'open' THEN 'reopened' ELSE a.state END,
               CASE WHEN a.acted_at IS DISTINCT FROM b.acted_at THEN a.acted_at
                    WHEN a.closed_at IS DISTINCT FROM b.closed_at THEN a.closed_at ELSE clock_timestamp() END,
               CASE WHEN a.acted_at IS DISTINCT FROM b.acted_at THEN a.acted_by END,
               CASE WHEN a.acted_at IS DISTINCT FROM b.acted_at THEN a.note END,
               a.state, a.severity, a.value, a.seen_as_of
        FROM after_it AS a JOIN before_it AS b USING (alert_id)
        WHERE (a.state, a.severity, a.acted_at) IS DISTINCT FROM (b.state, b.severity, b.acted_at)
        ORDER BY a.alert_id;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION predictions.remember_alerts() IS 'Adds what a statement did to alerts to their history and tells listeners (channel simsight_alerts, payload: the organization)';
CREATE TRIGGER remember_new_alerts AFTER INSERT ON predictions.alerts
    REFERENCING NEW TABLE AS after_it FOR EACH STATEMENT EXECUTE FUNCTION predictions.remember_alerts();
CREATE TRIGGER remember_alerts AFTER UPDATE ON predictions.alerts
    REFERENCING OLD TABLE AS before_it NEW TABLE AS after_it FOR EACH STATEMENT EXECUTE FUNCTION predictions.remember_alerts();

-- What is open already has a history too, so that a walk through it meets every alert.
INSERT INTO predictions.alert_history (organization_id, alert_id, event, at, state, severity, value, as_of)
SELECT organization_id, alert_id, 'opened', opened_at, state, severity, value, seen_as_of
FROM predictions.alerts WHERE closed_at IS NULL ORDER BY alert_id;

CREATE FUNCTION predictions.act_on_alerts(
    organization smallint, wanted bigint[], act text, until timestamptz, said text, by_whom text, now_is timestamptz)
    RETURNS SETOF bigint
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    UPDATE predictions.alerts SET
        state = CASE act WHEN 'acknowledge' THEN 'acknowledged' WHEN 'snooze' THEN 'snoozed' WHEN 'resolve' THEN 'resolved' ELSE 'open' END,
        snoozed_until = CASE act WHEN 'snooze' THEN until END,
        closed_at = CASE act WHEN 'resolve' THEN now_is END,
        closed_as_of = CASE act WHEN 'resolve' THEN seen_as_of END,
        acted_by = by_whom, acted_at = now_is, note = said
    WHERE alert_id = ANY(wanted) AND organization_id = organization AND closed_at IS NULL
        AND act IN ('acknowledge', 'snooze', 'resolve', 'reopen') AND (act <> 'snooze' OR until > now_is)
    RETURNING alert_id;
END;
COMMENT ON FUNCTION predictions.act_on_alerts(smallint, bigint[], text, timestamptz, text, text, timestamptz) IS
    'Acknowledge, snooze, resolve or reopen alerts that are not closed; returns those it changed. Runs with the rights of its caller';
REVOKE ALL ON FUNCTION predictions.act_on_alerts(smallint, bigint[], text, timestamptz, text, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION predictions.act_on_alerts(smallint, bigint[], text, timestamptz, text, text, timestamptz) TO simsight_pipeline;

-- The HTTP service may write two things, with a key that may write: through these.
CREATE FUNCTION ops.writing_key(presented_sha256 bytea) RETURNS TABLE (organization_id smallint, name text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT k.organization_id, k.name FROM ops.api_keys AS k
    WHERE k.key_sha256 = presented_sha256 AND k.can_write AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());
END;
COMMENT ON FUNCTION ops.writing_key(bytea) IS 'Organization and name of a live API key that may write; no row for any other';
REVOKE ALL ON FUNCTION ops.writing_key(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.writing_key(bytea) TO simsight_api;

CREATE FUNCTION ops.act_on_alert(
    presented_sha256 bytea, wanted bigint, act text, until timestamptz, said text, by_whom text, now_is timestamptz) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    writer record;
BEGIN
    SELECT * INTO writer FROM ops.writing_key(presented_sha256);
    IF writer.organization_id IS NULL THEN
        RETURN 'read-only';
    ELSIF EXISTS (SELECT FROM predictions.act_on_alerts(
            writer.organization_id, ARRAY[wanted], act, until, said, concat_ws(' by ', 'API key ' || writer.name, by_whom), now_is)) THEN
        RETURN 'done';
    ELSIF EXISTS (SELECT FROM predictions.alerts WHERE alert_id = wanted AND organization_id = writer.organization_id) THEN
        RETURN 'closed';
    END IF;
    RETURN 'unknown';
END
$$;
COMMENT ON FUNCTION ops.act_on_alert(bytea, bigint, text, timestamptz, text, text, timestamptz) IS
    'act_on_alerts for one alert of the organization of an API key that may write: done, read-only, closed or unknown';
REVOKE ALL ON FUNCTION ops.act_on_alert(bytea, bigint, text, timestamptz, text, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.act_on_alert(bytea, bigint, text, timestamptz, text, text, timestamptz) TO simsight_api;

CREATE FUNCTION ops.add_alert_rule(presented_sha256 bytea, rule jsonb, now_is timestamptz) RETURNS integer
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO predictions.alert_rules
        (organization_id, name, metric, operator, threshold, for_days, scope, severity, enabled, created_by, created_at, changed_at)
    SELECT k.organization_id, rule ->> 'name', rule ->> 'metric', rule ->> 'operator', (rule ->> 'threshold')::double precision,
           (rule ->> 'for_days')::smallint, rule -> 'scope', rule ->> 'severity', (rule ->> 'enabled')::boolean,
           'API key ' || k.name, now_is, now_is
    FROM ops.writing_key(presented_sha256) AS k
    ON CONFLICT (organization_id, name) WHERE deleted_at IS NULL DO NOTHING
    RETURNING rule_id;
END;
COMMENT ON FUNCTION ops.add_alert_rule(bytea, jsonb, timestamptz) IS
    'Adds a rule for the organization of an API key that may write; NULL, and nothing added, where the key may not or the name is taken';
REVOKE ALL ON FUNCTION ops.add_alert_rule(bytea, jsonb, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.add_alert_rule(bytea, jsonb, timestamptz) TO simsight_api;

CREATE FUNCTION ops.usage_answers() RETURNS TABLE (sim_key integer, answered_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT p.sim_key, p.answered_at FROM ops.polls AS p
    WHERE p.source = 'usage' AND p.organization_id = ops.current_organization() AND p.answered_at IS NOT NULL;
END;
COMMENT ON FUNCTION ops.usage_answers() IS 'One row a SIM of the session''s organization: when 1NCE last answered for its usage; for readers who may not read ops';
REVOKE ALL ON FUNCTION ops.usage_answers() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.usage_answers() TO simsight_pipeline, simsight_api;

CREATE OR REPLACE VIEW predictions.alerts_v1 WITH (security_invoker = true) AS
SELECT a.organization_id, a.alert_id, s.iccid, coalesce(s.own_label, s.label) AS label, a.kind, a.severity, a.value, a.threshold,
       a.message, a.opened_as_of, a.opened_at, a.seen_as_of, a.closed_as_of, a.closed_at,
       r.model_name, r.model_version, r.run_id,
       a.state, a.rule_id, u.name AS rule, a.incident_id, a.snoozed_until, a.acted_by, a.acted_at, a.note
FROM predictions.alerts AS a
LEFT JOIN core.sims AS s USING (sim_key)
LEFT JOIN predictions.scorings AS r USING (scoring_id)
LEFT JOIN predictions.alert_rules AS u USING (rule_id);
COMMENT ON VIEW predictions.alerts_v1 IS 'One row an alert; open while closed_at is NULL. Without an ICCID it is about the fleet or an incident';

CREATE VIEW predictions.alert_history_v1 WITH (security_invoker = true) AS
SELECT h.organization_id, h.history_id, h.alert_id, h.event, h.at, h.who, h.note, h.state, h.severity, h.value, h.as_of,
       a.iccid, a.label, a.kind, a.rule_id, a.rule, a.incident_id, a.threshold, a.message, a.opened_at, a.snoozed_until
FROM predictions.alert_history AS h JOIN predictions.alerts_v1 AS a USING (alert_id);
COMMENT ON VIEW predictions.alert_history_v1 IS 'One row an event in the life of an alert, oldest first by history_id; message and snoozed_until are the alert''s present ones';

CREATE VIEW predictions.alert_rules_v1 WITH (security_invoker = true) AS
SELECT organization_id, rule_id, name, metric, operator, threshold, for_days, scope, severity, enabled, version, created_by, created_at,
       changed_at, evaluated_as_of, evaluated_at, holding, error
FROM predictions.alert_rules WHERE deleted_at IS NULL;
COMMENT ON VIEW predictions.alert_rules_v1 IS 'One row a rule of the customer that is not deleted';
GRANT SELECT ON predictions.alert_history_v1, predictions.alert_rules_v1 TO simsight_pipeline, simsight_api;

CREATE TABLE ops.channels (
    channel_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    name text NOT NULL CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    kind text NOT NULL CHECK (kind IN ('apprise', 'webhook')),
    url_variable text NOT NULL CHECK (url_variable ~ '^[A-Z][A-Z0-9_]{0,62}$'),
    secret_variable text CHECK (secret_variable ~ '^[A-Z][A-Z0-9_]{0,62}$'),
    min_severity text NOT NULL CHECK (min_severity IN ('info', 'warning', 'critical')),
    direct boolean NOT NULL,
    resolved boolean NOT NULL,
    digest_at time,
    time_zone text NOT NULL,
    after_crash text NOT NULL CHECK (after_crash IN ('park', 'resend')),
    created_at timestamptz NOT NULL,
    parked_at timestamptz,
    parked_reason text,
    deleted_at timestamptz,
    CHECK ((kind = 'webhook') = (secret_variable IS NOT NULL))
);
COMMENT ON TABLE ops.channels IS 'One row a way to tell people or programs of alerts. Where it leads and its secrets stand in environment variables, never here';
COMMENT ON COLUMN ops.channels.channel_id IS 'Key';
COMMENT ON COLUMN ops.channels.organization_id IS 'Organization';
COMMENT ON COLUMN ops.channels.name IS 'Name';
COMMENT ON COLUMN ops.channels.kind IS 'apprise: e-mail, Slack, Teams, SMS and whatever else Apprise can reach; webhook: a signed POST';
COMMENT ON COLUMN ops.channels.url_variable IS 'Environment variable that holds its URL';
COMMENT ON COLUMN ops.channels.secret_variable IS 'Environment variable that holds the secret a webhook is signed with';
COMMENT ON COLUMN ops.channels.min_severity IS 'Least severity it takes';
COMMENT ON COLUMN ops.channels.direct IS 'Whether it gets every alert at once; else only what an escalation policy sends it';
COMMENT ON COLUMN ops.channels.resolved IS 'Whether it is also told that an alert it was told of is over';
COMMENT ON COLUMN ops.channels.digest_at IS 'Time of day, in time_zone, of one summary a day in the place of single alerts; NULL: none';
COMMENT ON COLUMN ops.channels.time_zone IS 'Time zone of digest_at';
COMMENT ON COLUMN ops.channels.after_crash IS 'When the sender died while it was sending: park (do not send again: it may have arrived) or resend (the receiver knows repeats by their key)';
COMMENT ON COLUMN ops.channels.created_at IS 'When it was added (UTC); alerts from before are not told';
COMMENT ON COLUMN ops.channels.parked_at IS 'Since when nothing is sent to it because it does not work (UTC); NULL: it works';
COMMENT ON COLUMN ops.channels.parked_reason IS 'Why';
COMMENT ON COLUMN ops.channels.deleted_at IS 'When it was deleted (UTC); NULL: it is there';
CREATE UNIQUE INDEX channels_name ON ops.channels (organization_id, name) WHERE deleted_at IS NULL;
SELECT ops.guard('ops.channels', api_reads => false);

CREATE TABLE ops.notifications (
    notification_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    channel_id integer NOT NULL REFERENCES ops.channels,
    delivery_key uuid NOT NULL UNIQUE,
    stage text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    digest_day date,
    digest_since timestamptz,
    created_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sending', 'sent', 'dead', 'unknown', 'dropped')),
    attempts smallint NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    lease_until timestamptz,
    sent_at timestamptz,
    last_error text,
    UNIQUE (channel_id, digest_day)
);
COMMENT ON TABLE ops.notifications IS 'The outbox: one row a message to a channel, about one alert or a group of them';
COMMENT ON COLUMN ops.notifications.notification_id IS 'Key';
COMMENT ON COLUMN ops.notifications.organization_id IS 'Organization';
COMMENT ON COLUMN ops.notifications.channel_id IS 'Channel (ops.channels)';
COMMENT ON COLUMN ops.notifications.delivery_key IS 'The same at every attempt: Idempotency-Key of a webhook, Message-ID of an e-mail';
COMMENT ON COLUMN ops.notifications.stage IS 'opened, raised, open again, resolved, escalation, digest or test: which message of the life of its alerts it is';
COMMENT ON COLUMN ops.notifications.severity IS 'Loudest severity of its alerts when it was made; critical passes quiet hours';
COMMENT ON COLUMN ops.notifications.digest_day IS 'Day of a digest, in the channel''s time zone; NULL: not a digest';
COMMENT ON COLUMN ops.notifications.digest_since IS 'From when on a digest tells what happened (UTC)';
COMMENT ON COLUMN ops.notifications.created_at IS 'When it was made (UTC)';
COMMENT ON COLUMN ops.notifications.state IS 'pending; sending: a sender has it until lease_until; sent; dead: given up; unknown: the sender died while sending, it may have arrived; dropped: all was over before it was sent';
COMMENT ON COLUMN ops.notifications.attempts IS 'How often sending was begun';
COMMENT ON COLUMN ops.notifications.next_attempt_at IS 'Not before (UTC)';
COMMENT ON COLUMN ops.notifications.lease_until IS 'A sender that has not said how it went by then is dead (UTC)';
COMMENT ON COLUMN ops.notifications.sent_at IS 'When the channel took it (UTC)';
COMMENT ON COLUMN ops.notifications.last_error IS 'What went wrong at the last attempt, without secrets';
CREATE INDEX notifications_due ON ops.notifications (organization_id, channel_id, next_attempt_at) WHERE state IN ('pending', 'sending');
SELECT ops.guard('ops.notifications', api_reads => false);

CREATE TABLE ops.notified_alerts (
    alert_id bigint NOT NULL REFERENCES predictions.alerts ON DELETE CASCADE,
    channel_id integer NOT NULL REFERENCES ops.channels,
    stage text NOT NULL,
    organization_id smallint NOT NULL,
    notification_id bigint NOT NULL REFERENCES ops.notifications,
    PRIMARY KEY (alert_id, channel_id, stage)
);
COMMENT ON TABLE ops.notified_alerts IS 'One row an alert, channel and stage: the message that tells it, and so never a second one';
COMMENT ON COLUMN ops.notified_alerts.alert_id IS 'Alert (predictions.alerts)';
COMMENT ON COLUMN ops.notified_alerts.channel_id IS 'Channel (ops.channels)';
COMMENT ON COLUMN ops.notified_alerts.stage IS 'opened; raised to a severity; open again after a snooze; resolved; or escalation policy.step';
COMMENT ON COLUMN ops.notified_alerts.organization_id IS 'Organization';
COMMENT ON COLUMN ops.notified_alerts.notification_id IS 'Message (ops.notifications)';
CREATE INDEX notified_alerts_by_notification ON ops.notified_alerts (notification_id);
SELECT ops.guard('ops.notified_alerts', api_reads => false);

CREATE TABLE ops.escalation_policies (
    policy_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    min_severity text NOT NULL CHECK (min_severity IN ('info', 'warning', 'critical')),
    rule_id integer REFERENCES predictions.alert_rules,
    steps jsonb NOT NULL CHECK (jsonb_typeof(steps) = 'array' AND jsonb_array_length(steps) BETWEEN 1 AND 20),
    created_at timestamptz NOT NULL,
    UNIQUE (organization_id, name)
);
COMMENT ON TABLE ops.escalation_policies IS 'One row a policy: who is told, and who next while nobody acknowledges';
COMMENT ON COLUMN ops.escalation_policies.policy_id IS 'Key';
COMMENT ON COLUMN ops.escalation_policies.organization_id IS 'Organization';
COMMENT ON COLUMN ops.escalation_policies.name IS 'Name';
COMMENT ON COLUMN ops.escalation_policies.min_severity IS 'Least severity of the alerts it is for';
COMMENT ON COLUMN ops.escalation_policies.rule_id IS 'Only alerts of this rule; NULL: all';
COMMENT ON COLUMN ops.escalation_policies.steps IS '[{"channel_id": 1, "after_minutes": 30}, ...]: tell this channel when the alert is still open and not acknowledged so long after it was opened';
COMMENT ON COLUMN ops.escalation_policies.created_at IS 'When it was written (UTC); alerts from before are not escalated';
SELECT ops.guard('ops.escalation_policies', api_reads => false);

CREATE TABLE ops.quiet_hours (
    quiet_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    channel_id integer REFERENCES ops.channels,
    days smallint[] NOT NULL CHECK (days <@ ARRAY[1, 2, 3, 4, 5, 6, 7]::smallint[] AND cardinality(days) > 0),
    from_time time NOT NULL,
    to_time time NOT NULL CHECK (to_time <> from_time),
    time_zone text NOT NULL,
    UNIQUE (organization_id, name)
);
COMMENT ON TABLE ops.quiet_hours IS 'One row a span of the week in which only what is critical is sent; the rest waits until it ends';
COMMENT ON COLUMN ops.quiet_hours.quiet_id IS 'Key';
COMMENT ON COLUMN ops.quiet_hours.organization_id IS 'Organization';
COMMENT ON COLUMN ops.quiet_hours.name IS 'Name';
COMMENT ON COLUMN ops.quiet_hours.channel_id IS 'Only for this channel; NULL: for all';
COMMENT ON COLUMN ops.quiet_hours.days IS 'Days of the week on which it begins, 1 (Monday) to 7';
COMMENT ON COLUMN ops.quiet_hours.from_time IS 'Local time at which it begins';
COMMENT ON COLUMN ops.quiet_hours.to_time IS 'Local time at which it ends; on the next day where it is before from_time';
COMMENT ON COLUMN ops.quiet_hours.time_zone IS 'Time zone of both';
SELECT ops.guard('ops.quiet_hours', api_reads => false);

CREATE TABLE ops.maintenance_windows (
    window_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    scope jsonb NOT NULL CHECK (jsonb_typeof(scope) = 'object'),
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL CHECK (ends_at > starts_at),
    created_by text NOT NULL,
    UNIQUE (organization_id, name)
);
COMMENT ON TABLE ops.maintenance_windows IS 'One row a span of time in which alerts of some SIMs are expected: they are written, and nobody is told before it ends';
COMMENT ON COLUMN ops.maintenance_windows.window_id IS 'Key';
COMMENT ON COLUMN ops.maintenance_windows.organization_id IS 'Organization';
COMMENT ON COLUMN ops.maintenance_windows.name IS 'What is being done';
COMMENT ON COLUMN ops.maintenance_windows.scope IS 'Whom it is about, as predictions.alert_rules.scope; {} also covers alerts of the fleet and incidents';
COMMENT ON COLUMN ops.maintenance_windows.starts_at IS 'From (UTC)';
COMMENT ON COLUMN ops.maintenance_windows.ends_at IS 'Until (UTC)';
COMMENT ON COLUMN ops.maintenance_windows.created_by IS 'Who wrote it';
SELECT ops.guard('ops.maintenance_windows', api_reads => false);
GRANT USAGE ON ALL SEQUENCES IN SCHEMA predictions, ops TO simsight_pipeline;
