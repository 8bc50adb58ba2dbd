-- Every write of people and programs is a line of the log that actions have: one chain an organization, so that no line can be
-- taken out of one log while the other stays whole. The hash of a line is made as before: what was logged holds.
SET LOCAL ROLE simsight_owner;

COMMENT ON TABLE ops.action_log IS 'One row a write: a change of state of an action or of the kill switch, and whatever else people and programs write; never changed, each hashed together with the one before';
COMMENT ON COLUMN ops.action_log.action_id IS 'Action (ops.action_requests); NULL: the line is of something else';
COMMENT ON COLUMN ops.action_log.event IS 'The new state of an action; stopped or started of the kill switch; all else with a point in it, such as key.made';
COMMENT ON COLUMN ops.action_log.by_whom IS 'API key, user of the machine, sender, or login of the database where nobody said who';
COMMENT ON COLUMN ops.action_log.facts IS 'What it is about (subject and id, except for actions and the kill switch), by keys of our own: neither secrets nor what 1NCE said';

-- --- Writes ---
CREATE FUNCTION ops.doer() RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    RETURN coalesce(nullif(current_setting('simsight.by', true), ''), 'login ' || session_user);
COMMENT ON FUNCTION ops.doer() IS 'Who writes: as the setting simsight.by of the transaction says, else the login';
REVOKE ALL ON FUNCTION ops.doer() FROM PUBLIC;

CREATE FUNCTION ops.audit_event(subject text, op text, old_row jsonb, new_row jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    RETURN CASE
        WHEN op = 'INSERT' THEN subject || '.' || CASE subject
            WHEN 'rule' THEN 'added'
            WHEN 'ticket' THEN 'corrected'
            WHEN 'churn-action' THEN new_row ->> 'decision'
            WHEN 'recommendation' THEN new_row ->> 'decision'
            WHEN 'session' THEN 'opened'
            ELSE 'made' END
        WHEN op = 'DELETE' THEN subject || '.' || CASE
            WHEN subject <> 'session' THEN CASE subject WHEN 'login' THEN 'revoked' ELSE 'removed' END
            WHEN (old_row ->> 'expires_at')::timestamptz > now() THEN 'closed'
            ELSE 'expired' END
        -- what an evaluation notes beside a rule is no write of anybody
        WHEN new_row - '{evaluated_as_of,evaluated_at,holding,error}'::text[] = old_row - '{evaluated_as_of,evaluated_at,holding,error}'::text[]
            THEN NULL
        ELSE subject || '.' || CASE
            WHEN new_row -> 'deleted_at' <> old_row -> 'deleted_at' THEN 'deleted'
            WHEN new_row -> 'revoked_at' <> old_row -> 'revoked_at' THEN 'revoked'
            WHEN new_row -> 'rotated_at' <> old_row -> 'rotated_at' THEN 'rotated'
            WHEN subject = 'rule' AND new_row - '{enabled,changed_at,evaluated_as_of,evaluated_at,holding,error}'::text[]
                = old_row - '{enabled,changed_at,evaluated_as_of,evaluated_at,holding,error}'::text[]
                THEN CASE WHEN (new_row ->> 'enabled')::boolean THEN 'switched-on' ELSE 'switched-off' END
            ELSE 'changed' END
        END;
COMMENT ON FUNCTION ops.audit_event(text, text, jsonb, jsonb) IS 'What a change of a row is in the log; NULL: not worth a line';
REVOKE ALL ON FUNCTION ops.audit_event(text, text, jsonb, jsonb) FROM PUBLIC;

-- A statement is logged when it is done, after the locks of its rows: who waits for the chain waits for nothing else.
CREATE FUNCTION ops.log_write(
    organization smallint, subject text, op text, id_column text, who_column text, told text[], old_row jsonb, new_row jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    event text := ops.audit_event(subject, op, old_row, new_row);
    known jsonb := coalesce(new_row, old_row);
    who text := CASE WHEN op = 'INSERT' OR who_column = 'changed_by' AND new_row -> 'changed_by' <> old_row -> 'changed_by'
                     THEN nullif(known ->> who_column, '') END;
BEGIN
    IF event IS NULL THEN
        RETURN;
    END IF;
    IF subject = 'rule' THEN  -- alerts close with their rule: the lock of their history comes before that of the chain, as for acts
        PERFORM pg_advisory_xact_lock(7465003, organization);
    END IF;
    IF subject = 'session' THEN
        SELECT 'API key ' || k.name INTO who FROM ops.api_keys AS k WHERE k.key_id = (known ->> 'key_id')::integer;
    ELSIF subject = 'key' AND event IN ('key.revoked', 'key.rotated') THEN
        who := coalesce(nullif(known ->> 'changed_by', ''), who);
    END IF;
    PERFORM ops.log_action(
        organization, clock_timestamp(), NULL, event, coalesce(who, ops.doer()),
        jsonb_build_object(
            'subject', subject,
            -- of what a session is known by, a part that opens nothing
            'id', CASE subject WHEN 'session' THEN substr(known ->> id_column, 3, 16) ELSE known ->> id_column END)
        || coalesce((SELECT jsonb_object_agg(f.key, f.value) FROM jsonb_each(known) AS f WHERE f.key = ANY (told)), '{}'));
END
$$;
COMMENT ON FUNCTION ops.log_write(smallint, text, text, text, text, text[], jsonb, jsonb) IS 'Logs the change of one row, if it is worth a line';
REVOKE ALL ON FUNCTION ops.log_write(smallint, text, text, text, text, text[], jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION ops.log_inserts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ops.log_write((w.r ->> 'organization_id')::smallint, TG_ARGV[0], TG_OP, TG_ARGV[1], TG_ARGV[2], TG_ARGV[3]::text[], NULL, w.r)
    FROM (SELECT to_jsonb(a) AS r FROM after_it AS a) AS w ORDER BY w.r ->> TG_ARGV[1];
    RETURN NULL;
END
$$;
CREATE FUNCTION ops.log_deletes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ops.log_write((w.r ->> 'organization_id')::smallint, TG_ARGV[0], TG_OP, TG_ARGV[1], TG_ARGV[2], TG_ARGV[3]::text[], w.r, NULL)
    FROM (SELECT to_jsonb(b) AS r FROM before_it AS b) AS w ORDER BY w.r ->> TG_ARGV[1];
    RETURN NULL;
END
$$;
CREATE FUNCTION ops.log_updates() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ops.log_write((w.a ->> 'organization_id')::smallint, TG_ARGV[0], TG_OP, TG_ARGV[1], TG_ARGV[2], TG_ARGV[3]::text[], w.b, w.a)
    FROM (SELECT to_jsonb(b) AS b, to_jsonb(a) AS a FROM before_it AS b, after_it AS a
          WHERE to_jsonb(b) -> TG_ARGV[4] = to_jsonb(a) -> TG_ARGV[4]) AS w
    ORDER BY w.a ->> TG_ARGV[1];
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ops.log_inserts() IS 'Trigger: logs new rows. Arguments: subject, column of its id, of who did it, columns that are told, and the key';
COMMENT ON FUNCTION ops.log_deletes() IS 'Trigger: logs rows that are gone; arguments as log_inserts';
COMMENT ON FUNCTION ops.log_updates() IS 'Trigger: logs changed rows, found by their key, which never changes; arguments as log_inserts';
REVOKE ALL ON FUNCTION ops.log_inserts(), ops.log_deletes(), ops.log_updates() FROM PUBLIC;

DO $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT * FROM (VALUES
        ('predictions.alert_rules', 'rule', 'rule_id', 'created_by', '{name,version}', 'rule_id'),
        ('predictions.ticket_corrections', 'ticket', 'case_id', 'said_by', '{category}', 'correction_id'),
        ('predictions.churn_decisions', 'churn-action', 'sim_key', 'decided_by', '{action}', 'decision_id'),
        ('predictions.recommendation_decisions', 'recommendation', 'recommendation_id', 'decided_by', '{}', 'decision_id'),
        ('ops.api_keys', 'key', 'key_id', 'changed_by', '{name,scopes}', 'key_id'),
        ('ops.api_sessions', 'session', 'session_sha256', 'key_id', '{}', 'session_sha256'),
        ('ops.streams', 'stream', 'stream_id', '', '{name}', 'stream_id'),
        ('ops.downstream_logins', 'login', 'login', '', '{}', 'login')
    ) AS x (tab, subject, id, who, told, key) LOOP
        EXECUTE format('CREATE TRIGGER logged_new AFTER INSERT ON %s REFERENCING NEW TABLE AS after_it'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION ops.log_inserts(%L, %L, %L, %L, %L)', t.tab, t.subject, t.id, t.who, t.told, t.key);
        EXECUTE format('CREATE TRIGGER logged_gone AFTER DELETE ON %s REFERENCING OLD TABLE AS before_it'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION ops.log_deletes(%L, %L, %L, %L, %L)', t.tab, t.subject, t.id, t.who, t.told, t.key);
        EXECUTE format('CREATE TRIGGER logged AFTER UPDATE ON %s REFERENCING OLD TABLE AS before_it NEW TABLE AS after_it'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION ops.log_updates(%L, %L, %L, %L, %L)', t.tab, t.subject, t.id, t.who, t.told, t.key);
    END LOOP;
END
$$;

-- What a person did about an alert is in its history already, and nothing else can add to that.
CREATE FUNCTION ops.log_alert_acts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ops.log_action(h.organization_id, clock_timestamp(), NULL, 'alert.' || h.event, h.who,
                           jsonb_build_object('subject', 'alert', 'id', h.alert_id::text))
    FROM (SELECT organization_id, event, who, alert_id FROM after_it WHERE who IS NOT NULL ORDER BY organization_id, history_id) AS h;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ops.log_alert_acts() IS 'Trigger: logs what people did about alerts; what the pipeline does has no line';
REVOKE ALL ON FUNCTION ops.log_alert_acts() FROM PUBLIC;
CREATE TRIGGER logged AFTER INSERT ON predictions.alert_history REFERENCING NEW TABLE AS after_it
    FOR EACH STATEMENT EXECUTE FUNCTION ops.log_alert_acts();

CREATE OR REPLACE FUNCTION ops.switch_alert_rule(presented_sha256 bytea, wanted integer, turn_on boolean, remove boolean, now_is timestamptz)
    RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    writer record;
BEGIN
    SELECT * INTO writer FROM ops.writing_key(presented_sha256);
    IF writer.organization_id IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM set_config('simsight.by', 'API key ' || writer.name, true);
    RETURN predictions.switch_alert_rule(writer.organization_id, wanted, turn_on, remove, now_is);
END
$$;

-- --- Use of keys ---
CREATE TABLE ops.key_use (
    key_use_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint REFERENCES core.organizations,
    key_id integer REFERENCES ops.api_keys,
    day date NOT NULL,
    address text NOT NULL,
    routes text NOT NULL,
    failed boolean NOT NULL,
    uses bigint NOT NULL CHECK (uses > 0),
    sealed boolean NOT NULL DEFAULT false,
    CONSTRAINT key_use_once UNIQUE NULLS NOT DISTINCT (organization_id, day, key_id, address, routes, failed)
);
COMMENT ON TABLE ops.key_use IS 'How often a key was used on a day, from an address, for a group of routes; a day that is over is sealed by a line of ops.action_log';
COMMENT ON COLUMN ops.key_use.key_use_id IS 'Key; rises with the first use';
COMMENT ON COLUMN ops.key_use.organization_id IS 'Organization; NULL: the key is not known, and only the owner sees the row';
COMMENT ON COLUMN ops.key_use.key_id IS 'Key (ops.api_keys); NULL: it is not known';
COMMENT ON COLUMN ops.key_use.day IS 'UTC day';
COMMENT ON COLUMN ops.key_use.address IS 'Address of the client; * where there were too many to tell apart';
COMMENT ON COLUMN ops.key_use.routes IS 'First segments of the path, such as /v1/sims';
COMMENT ON COLUMN ops.key_use.failed IS 'Whether the key was refused: unknown, expired or revoked';
COMMENT ON COLUMN ops.key_use.uses IS 'Requests';
COMMENT ON COLUMN ops.key_use.sealed IS 'Whether a line of the log has the hash of the day: the row stays as it is';
CREATE INDEX key_use_open ON ops.key_use (day) WHERE NOT sealed;
SELECT ops.guard('ops.key_use', api_reads => false);
REVOKE INSERT, UPDATE, DELETE ON ops.key_use FROM simsight_pipeline;

CREATE FUNCTION ops.sealed_stays() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'a day that is sealed is never changed' USING ERRCODE = 'insufficient_privilege';
END
$$;
COMMENT ON FUNCTION ops.sealed_stays() IS 'Refuses every change of a sealed row';
CREATE TRIGGER sealed_stays BEFORE UPDATE OR DELETE ON ops.key_use FOR EACH ROW WHEN (OLD.sealed) EXECUTE FUNCTION ops.sealed_stays();

CREATE FUNCTION ops.key_use_sha256(organization smallint, of_day date) RETURNS bytea
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    RETURN (
        SELECT sha256(convert_to(coalesce(string_agg(
            jsonb_build_array(u.key_use_id, u.key_id, u.address, u.routes, u.failed, u.uses)::text, E'\n' ORDER BY u.key_use_id), ''), 'UTF8'))
        FROM ops.key_use AS u WHERE u.organization_id = organization AND u.day = of_day);
COMMENT ON FUNCTION ops.key_use_sha256(smallint, date) IS 'Hash of what is counted of a day';
REVOKE ALL ON FUNCTION ops.key_use_sha256(smallint, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.key_use_sha256(smallint, date) TO simsight_pipeline;

CREATE FUNCTION ops.count_key_use(days date[], keys bytea[], addresses text[], groups text[], refused boolean[], counts bigint[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- a day is open for ten minutes more, for all services to bring what they counted; what comes later counts for the present day
    first_open date := ((now() - interval '10 minutes') AT TIME ZONE 'UTC')::date;
    today date := (now() AT TIME ZONE 'UTC')::date;
    over record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('key_use'));
    INSERT INTO ops.key_use AS u (organization_id, key_id, day, address, routes, failed, uses)
    SELECT k.organization_id, k.key_id, CASE WHEN c.day BETWEEN first_open AND today THEN c.day ELSE today END, c.address, c.routes,
        c.failed, sum(c.uses)
    FROM unnest(days, keys, addresses, groups, refused, counts) AS c (day, key_sha256, address, routes, failed, uses)
    LEFT JOIN ops.api_keys AS k USING (key_sha256)
    GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT ON CONSTRAINT key_use_once DO UPDATE SET uses = u.uses + excluded.uses;
    FOR over IN
        SELECT DISTINCT u.organization_id, u.day FROM ops.key_use AS u
        WHERE NOT u.sealed AND u.day < first_open AND u.organization_id IS NOT NULL ORDER BY 1, 2
    LOOP
        UPDATE ops.key_use AS u SET sealed = true WHERE u.organization_id = over.organization_id AND u.day = over.day;
        PERFORM ops.log_action(
            over.organization_id, clock_timestamp(), NULL, 'key-use.sealed', 'service',
            jsonb_build_object('subject', 'key-use', 'id', over.day::text,
                               'sha256', encode(ops.key_use_sha256(over.organization_id, over.day), 'hex')));
    END LOOP;
END
$$;
COMMENT ON FUNCTION ops.count_key_use(date[], bytea[], text[], text[], boolean[], bigint[]) IS
    'Adds requests by day, SHA-256 of the key, address, group of routes and whether the key was refused; seals the days that are over';
REVOKE ALL ON FUNCTION ops.count_key_use(date[], bytea[], text[], text[], boolean[], bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.count_key_use(date[], bytea[], text[], text[], boolean[], bigint[]) TO simsight_api;

CREATE FUNCTION ops.key_uses(first date, last date, of_key text, before bigint, most integer) RETURNS TABLE (
    key_use_id bigint, day date, key text, key_id integer, address text, routes text, failed boolean, uses bigint, sealed boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT u.key_use_id, u.day, k.name, u.key_id, u.address, u.routes, u.failed, u.uses, u.sealed
    FROM ops.key_use AS u JOIN ops.api_keys AS k USING (key_id)
    WHERE u.organization_id = (SELECT ops.current_organization()) AND u.key_use_id < coalesce(before, 9223372036854775807)
        AND u.day BETWEEN coalesce(first, '-infinity') AND coalesce(last, 'infinity') AND (of_key IS NULL OR k.name = of_key)
    ORDER BY u.key_use_id DESC LIMIT most;
END;
COMMENT ON FUNCTION ops.key_uses(date, date, text, bigint, integer) IS 'Use of the keys of the organization of the session, the newest first';
REVOKE ALL ON FUNCTION ops.key_uses(date, date, text, bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.key_uses(date, date, text, bigint, integer) TO simsight_api, simsight_pipeline;

-- --- Search ---
CREATE FUNCTION ops.audit_lines(first date, last date, of_event text, of_whom text, of_subject text, before bigint, most integer)
    RETURNS TABLE (
        number bigint, at timestamptz, event text, who text, subject text, subject_id text, facts jsonb, sha256 text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT n.number, n.at, n.event, n.who, n.subject, n.subject_id, n.facts, n.sha256
    FROM (
        SELECT l.number, l.at,
            CASE WHEN l.action_id IS NOT NULL THEN 'action.' || l.event
                 WHEN l.event IN ('stopped', 'started') THEN 'actions.' || l.event ELSE l.event END AS event,
            l.by_whom AS who,
            CASE WHEN l.action_id IS NOT NULL THEN 'action' ELSE coalesce(l.facts ->> 'subject', 'actions') END AS subject,
            CASE WHEN l.action_id IS NOT NULL THEN l.action_id::text
                 WHEN l.facts ->> 'subject' = 'churn-action' THEN coalesce(s.iccid, l.facts ->> 'id')
                 ELSE coalesce(l.facts ->> 'id', '') END AS subject_id,
            l.facts - '{subject,id}'::text[] AS facts, encode(l.sha256, 'hex') AS sha256
        FROM ops.action_log AS l
        LEFT JOIN core.sims AS s
            ON s.sim_key = CASE WHEN l.facts ->> 'subject' = 'churn-action' THEN (l.facts ->> 'id')::integer END
            AND s.organization_id = l.organization_id
        WHERE l.organization_id = (SELECT ops.current_organization()) AND l.number < coalesce(before, 9223372036854775807)
            AND (first IS NULL OR l.at >= first::timestamp AT TIME ZONE 'UTC')
            AND (last IS NULL OR l.at < (last + 1)::timestamp AT TIME ZONE 'UTC')
            AND (of_whom IS NULL OR l.by_whom = of_whom OR starts_with(l.by_whom, of_whom || ' by '))
    ) AS n
    WHERE (of_event IS NULL OR n.event = of_event OR starts_with(n.event, of_event || '.'))
        AND (of_subject IS NULL OR n.subject = of_subject OR n.subject || ':' || n.subject_id = of_subject)
    ORDER BY n.number DESC LIMIT most;
END;
COMMENT ON FUNCTION ops.audit_lines(date, date, text, text, text, bigint, integer) IS
    'Lines of the log of the organization of the session, the newest first: UTC days, an event or its first word, a key or person, a subject or subject:id';
REVOKE ALL ON FUNCTION ops.audit_lines(date, date, text, text, text, bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.audit_lines(date, date, text, text, text, bigint, integer) TO simsight_api, simsight_pipeline;
