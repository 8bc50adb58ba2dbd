-- A line of the audit log says by which request of the HTTP service it came: the id that stands in the service's log, too.
SET LOCAL ROLE simsight_owner;

CREATE FUNCTION ops.with_request(details jsonb) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
RETURN CASE WHEN coalesce(current_setting('simsight.request', true), '') = '' THEN details
    ELSE details || jsonb_build_object('request_id', left(current_setting('simsight.request', true), 64)) END;
COMMENT ON FUNCTION ops.with_request(jsonb) IS 'Facts of a line of the audit log, with the request that the session works for where it has one';
REVOKE ALL ON FUNCTION ops.with_request(jsonb) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ops.log_action(
    organization smallint, moment timestamptz, action bigint, what text, who text, details jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made ops.action_log;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('action_log'), organization);
    made := (organization, 1, moment, action, what, who, ops.with_request(details), ''::bytea, NULL);
    SELECT number + 1, sha256 INTO made.number, made.previous_sha256 FROM ops.action_log
    WHERE organization_id = organization ORDER BY number DESC LIMIT 1;
    IF NOT FOUND THEN
        made.number := 1;
        made.previous_sha256 := ''::bytea;
    END IF;
    made.sha256 := ops.action_log_sha256(made);
    INSERT INTO ops.action_log SELECT made.*;
END
$$;

CREATE OR REPLACE FUNCTION ops.log_lines(organization smallint, events text[], who text[], details jsonb[]) RETURNS void
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
        made.facts := ops.with_request(details[n]);
        made.previous_sha256 := made.sha256;
        made.sha256 := ops.action_log_sha256(made);
        INSERT INTO ops.action_log SELECT made.*;
    END LOOP;
END
$$;
