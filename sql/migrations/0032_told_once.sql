-- A repeated act keeps the person and the note of the first, and the history has both; a new channel may also tell the alerts that were open.
SET LOCAL ROLE simsight_owner;

ALTER TABLE predictions.alerts
    ADD COLUMN acts integer NOT NULL DEFAULT 0,
    ADD COLUMN last_act_by text,
    ADD COLUMN last_act_at timestamptz,
    ADD COLUMN last_act_note text;
UPDATE predictions.alerts SET last_act_by = acted_by, last_act_at = acted_at, last_act_note = note WHERE acted_at IS NOT NULL;
COMMENT ON COLUMN predictions.alerts.acted_by IS 'Who acknowledged, snoozed, reopened or resolved it; NULL: nobody. The pipeline closing it does not count, nor the same act again that brings neither note nor person';
COMMENT ON COLUMN predictions.alerts.acts IS 'How often a person did something about it since this column is there: each time is an entry in its history';
COMMENT ON COLUMN predictions.alerts.last_act_by IS 'Who did something about it last, also the same again; goes into its history';
COMMENT ON COLUMN predictions.alerts.last_act_at IS 'When (UTC)';
COMMENT ON COLUMN predictions.alerts.last_act_note IS 'What was said with that';

CREATE OR REPLACE FUNCTION predictions.remember_alerts() RETURNS trigger
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
            WHERE (a.state, a.severity, a.acts) IS DISTINCT FROM (b.state, b.severity, b.acts) ORDER BY 1
        LOOP
            PERFORM pg_advisory_xact_lock(7465003, organization);
            PERFORM pg_notify('simsight_alerts', organization::text);
        END LOOP;
        INSERT INTO predictions.alert_history (organization_id, alert_id, event, at, who, note, state, severity, value, as_of)
        SELECT a.organization_id, a.alert_id,
               CASE WHEN (a.state, a.acts) IS NOT DISTINCT FROM (b.state, b.acts) THEN 'severity'
                    WHEN a.state = 'open' THEN 'reopened' ELSE a.state END,
               CASE WHEN a.acts IS DISTINCT FROM b.acts THEN a.last_act_at
                    WHEN a.closed_at IS DISTINCT FROM b.closed_at THEN a.closed_at ELSE clock_timestamp() END,
               CASE WHEN a.acts IS DISTINCT FROM b.acts THEN a.last_act_by END,
               CASE WHEN a.acts IS DISTINCT FROM b.acts THEN a.last_act_note END,
               a.state, a.severity, a.value, a.seen_as_of
        FROM after_it AS a JOIN before_it AS b USING (alert_id)
        WHERE (a.state, a.severity, a.acts) IS DISTINCT FROM (b.state, b.severity, b.acts)
        ORDER BY a.alert_id;
    END IF;
    RETURN NULL;
END
$$;

DROP FUNCTION predictions.act_on_alerts(smallint, bigint[], text, timestamptz, text, text, timestamptz);
CREATE FUNCTION predictions.act_on_alerts(
    organization smallint, wanted bigint[], act text, until timestamptz, said text, by_whom text, now_is timestamptz, takes_over boolean)
    RETURNS SETOF bigint
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH words AS (
        SELECT CASE act WHEN 'acknowledge' THEN 'acknowledged' WHEN 'snooze' THEN 'snoozed' WHEN 'resolve' THEN 'resolved' ELSE 'open' END AS becomes
    )
    UPDATE predictions.alerts AS a SET
        state = w.becomes,
        snoozed_until = CASE act WHEN 'snooze' THEN until END,
        closed_at = CASE act WHEN 'resolve' THEN now_is END,
        closed_as_of = CASE act WHEN 'resolve' THEN a.seen_as_of END,
        acted_by = CASE WHEN a.state = w.becomes AND a.acted_at IS NOT NULL AND NOT takes_over THEN a.acted_by ELSE by_whom END,
        acted_at = CASE WHEN a.state = w.becomes AND a.acted_at IS NOT NULL AND NOT takes_over THEN a.acted_at ELSE now_is END,
        note = CASE WHEN a.state = w.becomes THEN coalesce(said, a.note) ELSE said END,
        acts = a.acts + 1, last_act_by = by_whom, last_act_at = now_is, last_act_note = said
    FROM words AS w
    WHERE a.alert_id = ANY(wanted) AND a.organization_id = organization AND a.closed_at IS NULL
        AND act IN ('acknowledge', 'snooze', 'resolve', 'reopen') AND (act <> 'snooze' OR until > now_is)
    RETURNING a.alert_id;
END;
COMMENT ON FUNCTION predictions.act_on_alerts(smallint, bigint[], text, timestamptz, text, text, timestamptz, boolean) IS
    'Acknowledge, snooze, resolve or reopen alerts that are not closed; returns those it changed. The same act again keeps the note, unless it brings one, and the person, unless takes_over. Runs with the rights of its caller';
REVOKE ALL ON FUNCTION predictions.act_on_alerts(smallint, bigint[], text, timestamptz, text, text, timestamptz, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION predictions.act_on_alerts(smallint, bigint[], text, timestamptz, text, text, timestamptz, boolean) TO simsight_pipeline;

CREATE OR REPLACE FUNCTION ops.act_on_alert(
    presented_sha256 bytea, wanted bigint, act text, until timestamptz, said text, by_whom text, now_is timestamptz) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    writer record;
BEGIN
    SELECT * INTO writer FROM ops.writing_key(presented_sha256);
    IF writer.organization_id IS NULL THEN
        RETURN 'read-only';
    ELSIF EXISTS (SELECT FROM predictions.act_on_alerts(
            writer.organization_id, ARRAY[wanted], act, until, said, concat_ws(' by ', 'API key ' || writer.name, by_whom), now_is,
            said IS NOT NULL OR by_whom IS NOT NULL)) THEN
        RETURN 'done';
    ELSIF EXISTS (SELECT FROM predictions.alerts WHERE alert_id = wanted AND organization_id = writer.organization_id) THEN
        RETURN 'closed';
    END IF;
    RETURN 'unknown';
END
$$;

ALTER TABLE ops.channels ADD COLUMN tells_from timestamptz;
UPDATE ops.channels SET tells_from = created_at;
ALTER TABLE ops.channels ALTER COLUMN tells_from SET NOT NULL;
COMMENT ON COLUMN ops.channels.created_at IS 'When it was added (UTC)';
COMMENT ON COLUMN ops.channels.tells_from IS 'Alerts opened before are not told (UTC); -infinity: also those that were open when it was added';
