-- One act on many things at once: prepared (nothing changes), looked at, confirmed by a second request, and done in one transaction.
SET LOCAL ROLE simsight_owner;

-- --- The log, many lines at once ---
CREATE FUNCTION ops.log_lines(organization smallint, events text[], who text[], details jsonb[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made ops.action_log;
    n integer;
BEGIN
    IF coalesce(cardinality(events), 0) = 0 THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('action_log'), organization);
    made := (organization, 0, clock_timestamp(), NULL, NULL, NULL, NULL, NULL, ''::bytea);
    SELECT number, sha256 INTO made.number, made.sha256 FROM ops.action_log
    WHERE organization_id = organization ORDER BY number DESC LIMIT 1;
    IF NOT FOUND THEN
        made.number := 0;
        made.sha256 := ''::bytea;
    END IF;
    FOR n IN 1 .. cardinality(events) LOOP
        made.number := made.number + 1;
        made.event := events[n];
        made.by_whom := who[n];
        made.facts := details[n];
        made.previous_sha256 := made.sha256;
        made.sha256 := ops.action_log_sha256(made);
        INSERT INTO ops.action_log SELECT made.*;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ops.log_lines(smallint, text[], text[], jsonb[]) IS 'Appends rows to the log of writes, of one moment: what, by whom, and facts of each';
REVOKE ALL ON FUNCTION ops.log_lines(smallint, text[], text[], jsonb[]) FROM PUBLIC;

DROP FUNCTION ops.log_write(smallint, text, text, text, text, text[], jsonb, jsonb);
CREATE FUNCTION ops.line_of(
    subject text, op text, id_column text, who_column text, told text[], old_row jsonb, new_row jsonb, OUT event text, OUT who text,
    OUT details jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known jsonb := coalesce(new_row, old_row);
BEGIN
    event := ops.audit_event(subject, op, old_row, new_row);
    IF event IS NULL THEN
        RETURN;
    END IF;
    who := CASE WHEN op = 'INSERT' OR (who_column = 'changed_by' AND new_row -> 'changed_by' <> old_row -> 'changed_by')
                THEN nullif(known ->> who_column, '') END;
    IF subject = 'session' THEN
        SELECT 'API key ' || k.name INTO who FROM ops.api_keys AS k WHERE k.key_id = (known ->> 'key_id')::integer;
    ELSIF subject = 'key' AND event IN ('key.revoked', 'key.rotated') THEN
        who := coalesce(nullif(known ->> 'changed_by', ''), who);
    ELSIF subject = 'bulk' AND op = 'UPDATE' THEN
        who := known ->> 'ended_by';
    ELSIF subject = 'feedback' AND op = 'UPDATE' THEN
        who := known ->> 'undone_by';
    END IF;
    who := coalesce(who, ops.doer());
    details := jsonb_build_object(
            'subject', subject,
            -- of what a session is known by, a part that opens nothing
            'id', CASE subject WHEN 'session' THEN substr(known ->> id_column, 3, 16) ELSE known ->> id_column END)
        || coalesce((SELECT jsonb_object_agg(f.key, f.value) FROM jsonb_each(known) AS f WHERE f.key = ANY (told)), '{}');
END
$$;
COMMENT ON FUNCTION ops.line_of(text, text, text, text, text[], jsonb, jsonb) IS 'What the log says of the change of a row; event is NULL where it is not worth a line';
REVOKE ALL ON FUNCTION ops.line_of(text, text, text, text, text[], jsonb, jsonb) FROM PUBLIC;

-- A statement is logged when it is done, after the locks of its rows: who waits for the chain waits for nothing else.
CREATE FUNCTION ops.log_rows(subject text, op text, id_column text, who_column text, told text[], old_rows jsonb[], new_rows jsonb[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    o record;
BEGIN
    FOR o IN
        SELECT (coalesce(w.new_row, w.old_row) ->> 'organization_id')::smallint AS organization, array_agg(l.event ORDER BY w.n) AS events,
            array_agg(l.who ORDER BY w.n) AS who, array_agg(l.details ORDER BY w.n) AS details
        FROM unnest(old_rows, new_rows) WITH ORDINALITY AS w (old_row, new_row, n)
        CROSS JOIN LATERAL ops.line_of(subject, op, id_column, who_column, told, w.old_row, w.new_row) AS l
        WHERE l.event IS NOT NULL
        GROUP BY 1 ORDER BY 1
    LOOP
        IF subject = 'rule' THEN  -- alerts close with their rule: the lock of their history comes before that of the chain, as for acts
            PERFORM pg_advisory_xact_lock(7465003, o.organization);
        END IF;
        PERFORM ops.log_lines(o.organization, o.events, o.who, o.details);
    END LOOP;
END
$$;
COMMENT ON FUNCTION ops.log_rows(text, text, text, text, text[], jsonb[], jsonb[]) IS 'Logs the changes of rows that are worth a line, in their order';
REVOKE ALL ON FUNCTION ops.log_rows(text, text, text, text, text[], jsonb[], jsonb[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ops.log_inserts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ops.log_rows(TG_ARGV[0], TG_OP, TG_ARGV[1], TG_ARGV[2], TG_ARGV[3]::text[], NULL, array_agg(w.r ORDER BY w.r ->> TG_ARGV[1]))
    FROM (SELECT to_jsonb(a) AS r FROM after_it AS a) AS w;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION ops.log_deletes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ops.log_rows(TG_ARGV[0], TG_OP, TG_ARGV[1], TG_ARGV[2], TG_ARGV[3]::text[], array_agg(w.r ORDER BY w.r ->> TG_ARGV[1]), NULL)
    FROM (SELECT to_jsonb(b) AS r FROM before_it AS b) AS w;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION ops.log_updates() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ops.log_rows(
        TG_ARGV[0], TG_OP, TG_ARGV[1], TG_ARGV[2], TG_ARGV[3]::text[], array_agg(w.b ORDER BY w.a ->> TG_ARGV[1]),
        array_agg(w.a ORDER BY w.a ->> TG_ARGV[1]))
    FROM (SELECT to_jsonb(b) AS b, to_jsonb(a) AS a FROM before_it AS b, after_it AS a
          WHERE to_jsonb(b) -> TG_ARGV[4] = to_jsonb(a) -> TG_ARGV[4]) AS w;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION ops.log_alert_acts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    o record;
BEGIN
    FOR o IN
        SELECT h.organization_id AS organization, array_agg('alert.' || h.event ORDER BY h.history_id) AS events,
            array_agg(h.who ORDER BY h.history_id) AS who,
            array_agg(jsonb_build_object('subject', 'alert', 'id', h.alert_id::text) ORDER BY h.history_id) AS details
        FROM after_it AS h WHERE h.who IS NOT NULL GROUP BY 1 ORDER BY 1
    LOOP
        PERFORM ops.log_lines(o.organization, o.events, o.who, o.details);
    END LOOP;
    RETURN NULL;
END
$$;

-- --- Bulk actions ---
CREATE TABLE ops.bulk_actions (
    bulk_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    action text NOT NULL CHECK (action IN (
        'acknowledge-alerts', 'snooze-alerts', 'resolve-alerts', 'reopen-alerts', 'accept-recommendations', 'dismiss-recommendations',
        'set-labels', 'remove-labels')),
    chosen jsonb NOT NULL CHECK (jsonb_typeof(chosen) = 'object'),
    said jsonb NOT NULL CHECK (jsonb_typeof(said) = 'object'),
    things integer NOT NULL CHECK (things BETWEEN 1 AND 100000),
    left_out integer NOT NULL CHECK (left_out >= 0),
    digest bytea NOT NULL,
    phrase text,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'cancelled')),
    prepared_by text NOT NULL,
    prepared_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_by text,
    ended_at timestamptz,
    CHECK ((state = 'pending') = (ended_at IS NULL)),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
COMMENT ON TABLE ops.bulk_actions IS 'One row an act on many things: pending until it is confirmed, cancelled or expired';
COMMENT ON COLUMN ops.bulk_actions.bulk_id IS 'Key';
COMMENT ON COLUMN ops.bulk_actions.organization_id IS 'Organization';
COMMENT ON COLUMN ops.bulk_actions.action IS 'What is done to each thing';
COMMENT ON COLUMN ops.bulk_actions.chosen IS 'Which things were asked for: {"ids": how many were named} or the conditions';
COMMENT ON COLUMN ops.bulk_actions.said IS 'What goes with it: note, reason, by, until or label';
COMMENT ON COLUMN ops.bulk_actions.things IS 'Things that it changes';
COMMENT ON COLUMN ops.bulk_actions.left_out IS 'Named things that are not there, or that it would not change';
COMMENT ON COLUMN ops.bulk_actions.digest IS 'SHA-256 of the things and of how each was when it was prepared';
COMMENT ON COLUMN ops.bulk_actions.phrase IS 'What must be typed to confirm it; NULL: nothing';
COMMENT ON COLUMN ops.bulk_actions.state IS 'pending (or expired, after expires_at), done or cancelled';
COMMENT ON COLUMN ops.bulk_actions.prepared_by IS 'API key, and whom it said it acts for';
COMMENT ON COLUMN ops.bulk_actions.prepared_at IS 'When (UTC)';
COMMENT ON COLUMN ops.bulk_actions.expires_at IS 'Until when it can be confirmed (UTC)';
COMMENT ON COLUMN ops.bulk_actions.ended_by IS 'Who confirmed or cancelled it; NULL: it is pending';
COMMENT ON COLUMN ops.bulk_actions.ended_at IS 'When (UTC)';
CREATE INDEX bulk_actions_by_organization ON ops.bulk_actions (organization_id, bulk_id);
SELECT ops.guard('ops.bulk_actions', api_reads => false);
REVOKE INSERT, UPDATE, DELETE ON ops.bulk_actions FROM simsight_pipeline;

CREATE TABLE ops.bulk_sets (
    bulk_id bigint PRIMARY KEY REFERENCES ops.bulk_actions ON DELETE CASCADE,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    things bigint[] NOT NULL,
    marks bigint[] NOT NULL,
    CHECK (cardinality(things) = cardinality(marks))
);
COMMENT ON TABLE ops.bulk_sets IS 'One row a pending bulk action: the things it is about; deleted when it is over';
COMMENT ON COLUMN ops.bulk_sets.bulk_id IS 'Bulk action (ops.bulk_actions)';
COMMENT ON COLUMN ops.bulk_sets.organization_id IS 'Organization';
COMMENT ON COLUMN ops.bulk_sets.things IS 'alert_id, recommendation_id or sim_key of each thing, the first to be shown first';
COMMENT ON COLUMN ops.bulk_sets.marks IS 'How each was when it was prepared (ops.bulk_things)';
SELECT ops.guard('ops.bulk_sets', api_reads => false);
REVOKE INSERT, UPDATE, DELETE ON ops.bulk_sets FROM simsight_pipeline;

CREATE FUNCTION ops.bulk_things(organization smallint, act text, said jsonb, wanted bigint[]) RETURNS TABLE (thing bigint, mark bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF act LIKE '%-alerts' THEN
        RETURN QUERY SELECT a.alert_id, hashtextextended(concat_ws('|', a.state, a.severity, a.acts), 0)
        FROM predictions.alerts AS a
        WHERE a.alert_id = ANY (wanted) AND a.organization_id = organization AND a.closed_at IS NULL
            AND a.state <> CASE act WHEN 'acknowledge-alerts' THEN 'acknowledged' WHEN 'reopen-alerts' THEN 'open' ELSE '' END;
    ELSIF act LIKE '%-recommendations' THEN
        RETURN QUERY SELECT r.recommendation_id, hashtextextended(concat_ws('|', r.action, r.packs, r.month, r.saving_minor, d.decision_id), 0)
        FROM predictions.quota_recommendations AS r
        LEFT JOIN (
            SELECT DISTINCT ON (l.recommendation_id) l.recommendation_id, l.decision_id, l.decision
            FROM predictions.recommendation_decisions AS l
            WHERE l.recommendation_id = ANY (wanted) ORDER BY l.recommendation_id, l.decision_id DESC
        ) AS d USING (recommendation_id)
        WHERE r.recommendation_id = ANY (wanted) AND r.organization_id = organization
            AND d.decision IS DISTINCT FROM CASE act WHEN 'accept-recommendations' THEN 'accepted' ELSE 'dismissed' END;
    ELSE
        RETURN QUERY SELECT s.sim_key::bigint, hashtextextended(coalesce('=' || s.own_label, ''), 0)
        FROM core.sims AS s
        WHERE s.sim_key = ANY (wanted::integer[]) AND s.organization_id = organization
            AND s.own_label IS DISTINCT FROM CASE act WHEN 'set-labels' THEN said ->> 'label' END;
    END IF;
END
$$;
COMMENT ON FUNCTION ops.bulk_things(smallint, text, jsonb, bigint[]) IS
    'Those of the things named that an act would change, each with a mark of what matters for that: another mark, and it has changed';
REVOKE ALL ON FUNCTION ops.bulk_things(smallint, text, jsonb, bigint[]) FROM PUBLIC;

CREATE FUNCTION ops.prepare_bulk(
    presented bytea, act text, chosen_by jsonb, to_say jsonb, wanted bigint[], named integer, typed text, typed_above integer, most_pending integer,
    lasts interval, now_is timestamptz, OUT outcome text, OUT prepared bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    writer record;
    found record;
BEGIN
    SELECT * INTO writer FROM ops.writing_key(presented);
    IF writer.organization_id IS NULL THEN
        outcome := 'read-only';
        RETURN;
    ELSIF cardinality(wanted) > 100000 THEN
        outcome := 'too-many';
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('bulk_actions'), writer.organization_id);
    DELETE FROM ops.bulk_sets AS s USING ops.bulk_actions AS b
    WHERE b.bulk_id = s.bulk_id AND b.organization_id = writer.organization_id AND b.expires_at <= now_is;
    IF (SELECT count(*) FROM ops.bulk_sets AS s WHERE s.organization_id = writer.organization_id) >= most_pending THEN
        outcome := 'full';
        RETURN;
    END IF;
    SELECT array_agg(t.thing ORDER BY w.n) AS things, array_agg(t.mark ORDER BY w.n) AS marks, count(*)::integer AS n,
        sha256(convert_to(act || to_say::text || string_agg(t.thing || ':' || t.mark, ',' ORDER BY t.thing), 'UTF8')) AS digest
    INTO found
    FROM ops.bulk_things(writer.organization_id, act, to_say, wanted) AS t
    JOIN unnest(wanted) WITH ORDINALITY AS w (thing, n) USING (thing);
    IF found.n = 0 THEN
        outcome := 'nothing';
        RETURN;
    END IF;
    INSERT INTO ops.bulk_actions (
        organization_id, action, chosen, said, things, left_out, digest, phrase, prepared_by, prepared_at, expires_at)
    VALUES (
        writer.organization_id, act, chosen_by, to_say, found.n, greatest(named - found.n, 0), found.digest,
        CASE WHEN found.n > typed_above THEN format(typed, found.n) END,
        concat_ws(' by ', 'API key ' || writer.name, to_say ->> 'by'), now_is, now_is + lasts)
    RETURNING bulk_id INTO prepared;
    INSERT INTO ops.bulk_sets (bulk_id, organization_id, things, marks) VALUES (prepared, writer.organization_id, found.things, found.marks);
    outcome := 'done';
END
$$;
COMMENT ON FUNCTION ops.prepare_bulk(bytea, text, jsonb, jsonb, bigint[], integer, text, integer, integer, interval, timestamptz) IS
    'Keeps a bulk action that is to be confirmed, for a key that may write; nothing else changes: done, read-only, too-many, full (too many are pending) or nothing (it would change nothing)';
REVOKE ALL ON FUNCTION ops.prepare_bulk(bytea, text, jsonb, jsonb, bigint[], integer, text, integer, integer, interval, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.prepare_bulk(bytea, text, jsonb, jsonb, bigint[], integer, text, integer, integer, interval, timestamptz)
    TO simsight_api;

CREATE FUNCTION ops.confirm_bulk(presented bytea, wanted bigint, typed text, digest_is bytea, now_is timestamptz, OUT outcome text, OUT others integer)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    writer record;
    bulk ops.bulk_actions;
    kept ops.bulk_sets;
    who text;
    done integer;
BEGIN
    SELECT * INTO writer FROM ops.writing_key(presented);
    IF writer.organization_id IS NULL THEN
        outcome := 'read-only';
        RETURN;
    END IF;
    SELECT * INTO bulk FROM ops.bulk_actions AS b WHERE b.bulk_id = wanted AND b.organization_id = writer.organization_id FOR UPDATE;
    outcome := CASE
        WHEN bulk.bulk_id IS NULL THEN 'unknown'
        WHEN bulk.state <> 'pending' THEN bulk.state  -- done: once, and the first one's result is the answer
        WHEN bulk.expires_at <= now_is THEN 'expired'
        WHEN bulk.phrase IS NOT NULL AND btrim(typed) IS DISTINCT FROM bulk.phrase THEN 'phrase'
        WHEN digest_is <> bulk.digest THEN 'digest'
        WHEN bulk.action = 'snooze-alerts' AND (bulk.said ->> 'until')::timestamptz <= now_is THEN 'past' END;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT * INTO kept FROM ops.bulk_sets AS s WHERE s.bulk_id = wanted;
    -- What another transaction is writing is skipped, and so counts as changed: who waits for no row while it holds some ends in no
    -- deadlock. The lock of the history of alerts comes first, for the same reason.
    IF bulk.action LIKE '%-alerts' THEN
        PERFORM pg_advisory_xact_lock(7465003, writer.organization_id);
        PERFORM FROM predictions.alerts AS a WHERE a.alert_id = ANY (kept.things) AND a.organization_id = writer.organization_id
        FOR UPDATE SKIP LOCKED;
    ELSIF bulk.action LIKE '%-recommendations' THEN
        PERFORM FROM predictions.quota_recommendations AS r
        WHERE r.recommendation_id = ANY (kept.things) AND r.organization_id = writer.organization_id FOR UPDATE SKIP LOCKED;
    ELSE
        PERFORM FROM core.sims AS s WHERE s.sim_key = ANY (kept.things::integer[]) AND s.organization_id = writer.organization_id
        FOR NO KEY UPDATE SKIP LOCKED;
    END IF;
    GET DIAGNOSTICS done = ROW_COUNT;
    others := bulk.things - done;  -- gone, or being written
    IF others = 0 THEN
        SELECT bulk.things - count(*) INTO others
        FROM unnest(kept.things, kept.marks) AS k (thing, mark)
        JOIN ops.bulk_things(writer.organization_id, bulk.action, bulk.said, kept.things) AS t USING (thing, mark);
    END IF;
    IF others > 0 THEN
        outcome := 'changed';
        RETURN;
    END IF;
    who := concat_ws(' by ', 'API key ' || writer.name, bulk.said ->> 'by');
    IF bulk.action LIKE '%-alerts' THEN
        PERFORM FROM predictions.act_on_alerts(
            writer.organization_id, kept.things, split_part(bulk.action, '-', 1), (bulk.said ->> 'until')::timestamptz, bulk.said ->> 'note',
            who, now_is, bulk.said ?| ARRAY['note', 'by']);
        GET DIAGNOSTICS done = ROW_COUNT;
    ELSIF bulk.action LIKE '%-recommendations' THEN
        INSERT INTO predictions.recommendation_decisions (organization_id, recommendation_id, decision, reason, decided_by, decided_at)
        SELECT writer.organization_id, t.thing, CASE bulk.action WHEN 'accept-recommendations' THEN 'accepted' ELSE 'dismissed' END,
            coalesce(bulk.said ->> 'reason', ''), who, now_is
        FROM unnest(kept.things) AS t (thing);
        GET DIAGNOSTICS done = ROW_COUNT;
    ELSE
        UPDATE core.sims AS s SET own_label = CASE bulk.action WHEN 'set-labels' THEN bulk.said ->> 'label' END, changed_at = now_is
        WHERE s.sim_key = ANY (kept.things::integer[]) AND s.organization_id = writer.organization_id;
        GET DIAGNOSTICS done = ROW_COUNT;
        PERFORM ops.log_lines(
            writer.organization_id, array_agg(CASE bulk.action WHEN 'set-labels' THEN 'sim.labelled' ELSE 'sim.label-removed' END),
            array_agg(who), array_agg(jsonb_build_object('subject', 'sim', 'id', t.thing::text) ORDER BY t.thing))
        FROM unnest(kept.things) AS t (thing);
    END IF;
    IF done <> bulk.things THEN
        RAISE EXCEPTION 'bulk action % changed % of % things', wanted, done, bulk.things;
    END IF;
    UPDATE ops.bulk_actions AS b SET state = 'done', ended_by = who, ended_at = now_is WHERE b.bulk_id = wanted;
    DELETE FROM ops.bulk_sets AS s WHERE s.bulk_id = wanted;
    outcome := 'done';
    others := 0;
END
$$;
COMMENT ON FUNCTION ops.confirm_bulk(bytea, bigint, text, bytea, timestamptz) IS
    'Does a pending bulk action, once: done, read-only, unknown, cancelled, expired, phrase (another must be typed), digest (of another set), past (the end of the snooze) or changed (others: how many things are not as they were)';
REVOKE ALL ON FUNCTION ops.confirm_bulk(bytea, bigint, text, bytea, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.confirm_bulk(bytea, bigint, text, bytea, timestamptz) TO simsight_api;

CREATE FUNCTION ops.cancel_bulk(presented bytea, wanted bigint, now_is timestamptz) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    writer record;
    known text;
BEGIN
    SELECT * INTO writer FROM ops.writing_key(presented);
    IF writer.organization_id IS NULL THEN
        RETURN 'read-only';
    END IF;
    SELECT state INTO known FROM ops.bulk_actions WHERE bulk_id = wanted AND organization_id = writer.organization_id FOR UPDATE;
    IF known = 'pending' THEN
        UPDATE ops.bulk_actions SET state = 'cancelled', ended_by = 'API key ' || writer.name, ended_at = now_is WHERE bulk_id = wanted;
        DELETE FROM ops.bulk_sets WHERE bulk_id = wanted;
        RETURN 'cancelled';
    END IF;
    RETURN coalesce(known, 'unknown');
END
$$;
COMMENT ON FUNCTION ops.cancel_bulk(bytea, bigint, timestamptz) IS
    'Ends a bulk action that was not confirmed: cancelled (also one that was before), read-only, unknown or done';
REVOKE ALL ON FUNCTION ops.cancel_bulk(bytea, bigint, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.cancel_bulk(bytea, bigint, timestamptz) TO simsight_api;

CREATE FUNCTION ops.bulks(of_bulk bigint, of_state text, before bigint, most integer, now_is timestamptz) RETURNS TABLE (
    bulk_id bigint, action text, state text, things integer, left_out integer, chosen jsonb, said jsonb, digest text, phrase text,
    prepared_by text, prepared_at timestamptz, expires_at timestamptz, ended_by text, ended_at timestamptz, first_things bigint[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT n.bulk_id, n.action, n.now_state, n.things, n.left_out, n.chosen, n.said, encode(n.digest, 'hex'), n.phrase, n.prepared_by,
        n.prepared_at, n.expires_at, n.ended_by, n.ended_at, n.first_things
    FROM (
        SELECT b.*, CASE WHEN b.state = 'pending' AND b.expires_at <= now_is THEN 'expired' ELSE b.state END AS now_state,
            (SELECT s.things[1:10] FROM ops.bulk_sets AS s WHERE s.bulk_id = b.bulk_id) AS first_things
        FROM ops.bulk_actions AS b
        WHERE b.organization_id = (SELECT ops.current_organization()) AND b.bulk_id < coalesce(before, 9223372036854775807)
            AND (of_bulk IS NULL OR b.bulk_id = of_bulk)
    ) AS n
    WHERE of_state IS NULL OR n.now_state = of_state
    ORDER BY n.bulk_id DESC LIMIT most;
END;
COMMENT ON FUNCTION ops.bulks(bigint, text, bigint, integer, timestamptz) IS
    'Bulk actions of the organization of the session, the newest first; first_things: up to ten of a pending one';
REVOKE ALL ON FUNCTION ops.bulks(bigint, text, bigint, integer, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.bulks(bigint, text, bigint, integer, timestamptz) TO simsight_api, simsight_pipeline;

-- --- What had no line in the log: channels, on-call plans, false alarms, champions that people chose ---
ALTER TABLE ops.api_sessions ADD COLUMN closed_at timestamptz;
COMMENT ON COLUMN ops.api_sessions.closed_at IS 'When it was ended by hand (UTC); it is kept for an hour, so that its last requests are counted for its key. NULL: it was not';

CREATE OR REPLACE FUNCTION ops.audit_event(subject text, op text, old_row jsonb, new_row jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    RETURN CASE
        WHEN op = 'INSERT' THEN subject || '.' || CASE subject
            WHEN 'rule' THEN 'added'
            WHEN 'ticket' THEN 'corrected'
            WHEN 'churn-action' THEN new_row ->> 'decision'
            WHEN 'recommendation' THEN new_row ->> 'decision'
            WHEN 'session' THEN 'opened'
            WHEN 'bulk' THEN 'prepared'
            WHEN 'channel' THEN 'added'
            WHEN 'feedback' THEN 'given'
            -- what a training decides is no write of anybody
            WHEN 'model' THEN CASE WHEN new_row ->> 'decided_by' <> 'training' THEN 'promoted' END
            ELSE 'made' END
        WHEN op = 'DELETE' THEN CASE
            WHEN subject = 'login' THEN 'login.revoked'
            WHEN subject <> 'session' THEN subject || '.removed'
            WHEN old_row ->> 'closed_at' IS NOT NULL THEN NULL  -- that has a line already
            WHEN (old_row ->> 'expires_at')::timestamptz > now() THEN 'session.closed'
            ELSE 'session.expired' END
        -- what an evaluation notes beside a rule is no write of anybody
        WHEN new_row - '{evaluated_as_of,evaluated_at,holding,error}'::text[] = old_row - '{evaluated_as_of,evaluated_at,holding,error}'::text[]
            THEN NULL
        ELSE subject || '.' || CASE
            WHEN new_row -> 'deleted_at' <> old_row -> 'deleted_at' THEN 'deleted'
            WHEN new_row -> 'revoked_at' <> old_row -> 'revoked_at' THEN 'revoked'
            WHEN new_row -> 'rotated_at' <> old_row -> 'rotated_at' THEN 'rotated'
            WHEN new_row -> 'closed_at' <> old_row -> 'closed_at' THEN 'closed'
            WHEN new_row -> 'undone_at' <> old_row -> 'undone_at' THEN 'taken-back'
            WHEN subject = 'bulk' THEN CASE new_row ->> 'state' WHEN 'done' THEN 'confirmed' ELSE new_row ->> 'state' END
            -- a trial of a channel that works no better is not worth a line
            WHEN subject = 'channel' THEN CASE
                WHEN new_row ->> 'parked_at' IS NULL AND old_row ->> 'parked_at' IS NOT NULL THEN 'enabled'
                WHEN new_row ->> 'parked_at' IS NOT NULL AND old_row ->> 'parked_at' IS NULL THEN 'disabled' END
            WHEN subject = 'rule' AND new_row - '{enabled,changed_at,evaluated_as_of,evaluated_at,holding,error}'::text[]
                = old_row - '{enabled,changed_at,evaluated_as_of,evaluated_at,holding,error}'::text[]
                THEN CASE WHEN (new_row ->> 'enabled')::boolean THEN 'switched-on' ELSE 'switched-off' END
            ELSE 'changed' END
        END;

CREATE OR REPLACE FUNCTION ops.close_session(ended bytea) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    UPDATE ops.api_sessions SET expires_at = now(), closed_at = now() WHERE session_sha256 = ended AND expires_at > now();
END;

CREATE OR REPLACE FUNCTION ops.open_session(presented bytea, session_sha256 bytea, lasts interval) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    opened record;
BEGIN
    -- a key, and no session: a session cannot prolong itself
    SELECT k.key_id, k.organization_id INTO opened FROM ops.api_keys AS k
    WHERE k.key_sha256 = presented AND NOT k.for_tokens AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM ops.api_sessions AS s WHERE s.organization_id = opened.organization_id AND s.expires_at <= now() - interval '1 hour';
    INSERT INTO ops.api_sessions (session_sha256, organization_id, key_id, expires_at)
    VALUES (session_sha256, opened.organization_id, opened.key_id, now() + lasts);
    RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION ops.count_key_use(days date[], keys bytea[], addresses text[], groups text[], refused boolean[], counts bigint[]) RETURNS void
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
    FROM unnest(days, keys, addresses, groups, refused, counts) AS c (day, shown_sha256, address, routes, failed, uses)
    LEFT JOIN ops.api_sessions AS s ON s.session_sha256 = c.shown_sha256  -- a session of the dashboard counts for its key
    LEFT JOIN ops.api_keys AS k ON k.key_sha256 = c.shown_sha256 OR k.key_id = s.key_id
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

-- As before, and SIMs by their ICCIDs.
CREATE OR REPLACE FUNCTION ops.audit_lines(first date, last date, of_event text, of_whom text, of_subject text, before bigint, most integer)
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
                 WHEN l.facts ->> 'subject' IN ('churn-action', 'sim') THEN coalesce(s.iccid, l.facts ->> 'id')
                 ELSE coalesce(l.facts ->> 'id', '') END AS subject_id,
            l.facts - '{subject,id}'::text[] AS facts, encode(l.sha256, 'hex') AS sha256
        FROM ops.action_log AS l
        LEFT JOIN core.sims AS s
            ON s.sim_key = CASE WHEN l.facts ->> 'subject' IN ('churn-action', 'sim') THEN (l.facts ->> 'id')::integer END
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

DO $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT * FROM (VALUES
        ('ops.bulk_actions', 'bulk', 'bulk_id', 'prepared_by', '{action,things}', 'bulk_id'),
        ('ops.channels', 'channel', 'channel_id', '', '{name}', 'channel_id'),
        ('ops.escalation_policies', 'escalation', 'policy_id', '', '{name}', 'policy_id'),
        ('ops.quiet_hours', 'quiet-hours', 'quiet_id', '', '{name}', 'quiet_id'),
        ('ops.maintenance_windows', 'maintenance', 'window_id', 'created_by', '{name}', 'window_id'),
        ('predictions.anomaly_feedback', 'feedback', 'feedback_id', 'said_by', '{kind}', 'feedback_id'),
        ('predictions.promotions', 'model', 'model_name', 'decided_by', '{model_version,from_version}', 'promotion_id')
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
