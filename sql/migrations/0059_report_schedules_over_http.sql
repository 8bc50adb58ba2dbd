-- Schedules of reports may be paused, and administrators write them over HTTP and on the dashboard.
SET LOCAL ROLE simsight_owner;

ALTER TABLE ops.report_schedules ADD COLUMN paused_at timestamptz, ADD COLUMN runs_from timestamptz;
UPDATE ops.report_schedules SET runs_from = created_at;
ALTER TABLE ops.report_schedules ALTER COLUMN runs_from SET NOT NULL;
COMMENT ON COLUMN ops.report_schedules.created_at IS 'When it was written (UTC)';
COMMENT ON COLUMN ops.report_schedules.paused_at IS 'Since when nothing is made (UTC); NULL: it runs';
COMMENT ON COLUMN ops.report_schedules.runs_from IS 'When it was written or resumed last (UTC); periods that were due before are not made';

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
            WHEN new_row -> 'paused_at' <> old_row -> 'paused_at' THEN CASE WHEN new_row ->> 'paused_at' IS NULL THEN 'resumed' ELSE 'paused' END
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
CREATE TRIGGER logged AFTER UPDATE ON ops.report_schedules REFERENCING OLD TABLE AS before_it NEW TABLE AS after_it
    FOR EACH STATEMENT EXECUTE FUNCTION ops.log_updates('report-schedule', 'schedule_id', '', '{name,every}', 'schedule_id');

CREATE FUNCTION ops.scheduled_reports() RETURNS TABLE (
    schedule_id integer, name text, every text, label text, country text, formats text[], channels text[], at_time time, time_zone text,
    created_at timestamptz, created_by text, runs_from timestamptz, paused_at timestamptz, report_id bigint, made_to date,
    made_at timestamptz, sent bigint, pending bigint, failed bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT s.schedule_id, s.name, s.every, s.label, s.country, s.formats,
        coalesce((SELECT array_agg(c.name ORDER BY c.name) FROM ops.channels AS c
                  WHERE c.channel_id = ANY (s.channel_ids) AND c.deleted_at IS NULL), '{}'),
        s.at_time, s.time_zone, s.created_at, s.created_by, s.runs_from, s.paused_at, r.report_id, r.last_day, r.made_at,
        n.sent, n.pending, n.failed
    FROM ops.report_schedules AS s
    LEFT JOIN LATERAL (
        SELECT p.report_id, p.last_day, p.made_at FROM predictions.period_reports AS p
        WHERE p.schedule_id = s.schedule_id ORDER BY p.last_day DESC LIMIT 1) AS r ON true
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE m.state = 'sent') AS sent, count(*) FILTER (WHERE m.state IN ('pending', 'sending')) AS pending,
            count(*) FILTER (WHERE m.state IN ('dead', 'unknown')) AS failed
        FROM ops.notifications AS m WHERE m.report_id = r.report_id) AS n
    WHERE s.organization_id = (SELECT ops.current_organization())
    ORDER BY s.name;
END;
COMMENT ON FUNCTION ops.scheduled_reports() IS
    'One row a schedule of reports of the organization of the session, by name: who gets it, the newest report it made, and what became of its messages';

CREATE FUNCTION ops.channel_names() RETURNS TABLE (name text, works boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT c.name, c.parked_at IS NULL FROM ops.channels AS c
    WHERE c.organization_id = (SELECT ops.current_organization()) AND c.deleted_at IS NULL ORDER BY c.name;
END;
COMMENT ON FUNCTION ops.channel_names() IS 'Channels of the organization of the session, and whether they work; not where they lead';
REVOKE ALL ON FUNCTION ops.scheduled_reports(), ops.channel_names() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.scheduled_reports(), ops.channel_names() TO simsight_api, simsight_pipeline;

CREATE FUNCTION ops.add_report_schedule(
    presented bytea, called text, how_often text, of_label text, of_country text, in_formats text[], to_channels text[], at_local time,
    in_zone text, now_is timestamptz) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    by_key record;
    ids integer[];
BEGIN
    SELECT * INTO by_key FROM ops.live_key(presented);
    IF 'admin' = ANY (by_key.scopes) IS NOT TRUE THEN
        RETURN 'not-admin';
    END IF;
    SELECT coalesce(array_agg(c.channel_id ORDER BY c.channel_id), '{}') INTO ids FROM ops.channels AS c
    WHERE c.organization_id = by_key.organization_id AND c.deleted_at IS NULL AND c.name = ANY (to_channels);
    IF cardinality(ids) < (SELECT count(DISTINCT t.name) FROM unnest(to_channels) AS t (name)) THEN
        RETURN 'no-channel';
    END IF;
    INSERT INTO ops.report_schedules
        (organization_id, name, every, label, country, formats, channel_ids, at_time, time_zone, created_at, created_by, runs_from)
    VALUES (by_key.organization_id, called, how_often, of_label, of_country, in_formats, ids, at_local, in_zone, now_is,
        'API key ' || by_key.name, now_is)
    ON CONFLICT (organization_id, name) DO NOTHING;
    RETURN CASE WHEN FOUND THEN 'done' ELSE 'taken' END;
END
$$;
COMMENT ON FUNCTION ops.add_report_schedule(bytea, text, text, text, text, text[], text[], time, text, timestamptz) IS
    'Writes a schedule of reports in the name of a key of scope admin: done, taken (the name), no-channel (one of them is unknown) or not-admin';

CREATE FUNCTION ops.change_report_schedule(presented bytea, called text, change text, now_is timestamptz) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    by_key record;
BEGIN
    SELECT * INTO by_key FROM ops.live_key(presented);
    IF 'admin' = ANY (by_key.scopes) IS NOT TRUE THEN
        RETURN 'not-admin';
    END IF;
    PERFORM set_config('simsight.by', 'API key ' || by_key.name, true);
    IF change = 'remove' THEN
        DELETE FROM ops.report_schedules AS s WHERE s.organization_id = by_key.organization_id AND s.name = called;
    ELSE
        UPDATE ops.report_schedules AS s
        SET paused_at = CASE change WHEN 'pause' THEN coalesce(s.paused_at, now_is) END,
            runs_from = CASE WHEN change = 'resume' AND s.paused_at IS NOT NULL THEN now_is ELSE s.runs_from END
        WHERE s.organization_id = by_key.organization_id AND s.name = called;
    END IF;
    RETURN CASE WHEN FOUND THEN 'done' ELSE 'unknown' END;
END
$$;
COMMENT ON FUNCTION ops.change_report_schedule(bytea, text, text, timestamptz) IS
    'Pauses, resumes or removes (pause, resume, remove) a schedule of reports in the name of a key of scope admin: done, unknown or not-admin';
REVOKE ALL ON FUNCTION ops.add_report_schedule(bytea, text, text, text, text, text[], text[], time, text, timestamptz),
    ops.change_report_schedule(bytea, text, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.add_report_schedule(bytea, text, text, text, text, text[], text[], time, text, timestamptz),
    ops.change_report_schedule(bytea, text, text, timestamptz) TO simsight_api;
