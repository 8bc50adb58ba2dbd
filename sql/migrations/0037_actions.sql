-- Actions through 1NCE's API: requests, who approved them, what became of them, and a hash-chained log of it all.
SET LOCAL ROLE simsight_owner;

ALTER TABLE ops.api_keys ADD COLUMN may_act boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN ops.api_keys.may_act IS 'Whether it may also request and approve actions, which spend money or cut devices off';

CREATE TABLE ops.action_requests (
    action_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    kind text NOT NULL CHECK (kind IN ('top_up', 'auto_top_up', 'reset', 'disable', 'enable', 'limits')),
    sim_key integer REFERENCES core.sims,
    parameters jsonb NOT NULL,
    idempotency_key text NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 200),
    recommendation_id bigint,
    cost_minor bigint NOT NULL CHECK (cost_minor >= 0),
    currency text,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    decided_by text,
    decided_at timestamptz,
    state text NOT NULL DEFAULT 'requested'
        CHECK (state IN ('requested', 'approved', 'refused', 'sending', 'done', 'failed', 'unclear')),
    attempts smallint NOT NULL DEFAULT 0,
    sent_at timestamptz,
    known_before jsonb,
    order_number bigint,
    message text NOT NULL DEFAULT '',
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL,
    UNIQUE (organization_id, idempotency_key),
    CHECK ((sim_key IS NULL) = (kind = 'limits')),
    CHECK (state <> 'approved' OR decided_by IS NOT NULL),
    -- nobody approves a request of their own
    CHECK (decided_by <> requested_by OR state = 'refused')
);
COMMENT ON TABLE ops.action_requests IS 'One row an action that somebody wants done at 1NCE; sent once, and never again while nobody knows whether it had its effect';
COMMENT ON COLUMN ops.action_requests.action_id IS 'Key';
COMMENT ON COLUMN ops.action_requests.organization_id IS 'Organization';
COMMENT ON COLUMN ops.action_requests.kind IS 'What is to be done';
COMMENT ON COLUMN ops.action_requests.sim_key IS 'SIM it is done to (core.sims); NULL: all SIMs at once';
COMMENT ON COLUMN ops.action_requests.parameters IS 'How: payment_method, enabled, or ids of limits';
COMMENT ON COLUMN ops.action_requests.idempotency_key IS 'Chosen by who requests: the same key again is the same request';
COMMENT ON COLUMN ops.action_requests.recommendation_id IS 'Recommendation that it follows, if any';
COMMENT ON COLUMN ops.action_requests.cost_minor IS 'What it may cost, in minor units, by the price list at the request';
COMMENT ON COLUMN ops.action_requests.currency IS 'ISO 4217 code; NULL: it costs nothing, or the price is a setting';
COMMENT ON COLUMN ops.action_requests.requested_by IS 'API key or user of the machine that wants it';
COMMENT ON COLUMN ops.action_requests.requested_at IS 'When (UTC)';
COMMENT ON COLUMN ops.action_requests.decided_by IS 'Another API key or user that approved it, or any that refused it';
COMMENT ON COLUMN ops.action_requests.decided_at IS 'When (UTC)';
COMMENT ON COLUMN ops.action_requests.state IS 'requested, approved, refused, sending (committed before the call), done, failed (1NCE refused), or unclear: a person is to look';
COMMENT ON COLUMN ops.action_requests.attempts IS 'How often it was sent; more than once only where 1NCE showed that it had no effect';
COMMENT ON COLUMN ops.action_requests.sent_at IS 'When it was last sent (UTC); counted by the caps';
COMMENT ON COLUMN ops.action_requests.known_before IS 'What 1NCE said of the SIM just before, to compare with afterwards';
COMMENT ON COLUMN ops.action_requests.order_number IS 'Order that 1NCE made of it';
COMMENT ON COLUMN ops.action_requests.message IS 'What came of it, for people';
COMMENT ON COLUMN ops.action_requests.changed_by IS 'Who made the last change of state: a key, a user, or sender';
COMMENT ON COLUMN ops.action_requests.changed_at IS 'When (UTC)';
CREATE INDEX action_requests_open ON ops.action_requests (organization_id, action_id)
    WHERE state IN ('requested', 'approved', 'sending', 'unclear');
CREATE INDEX action_requests_sent ON ops.action_requests (organization_id, sent_at) WHERE sent_at IS NOT NULL;
-- one at a time of a kind for a SIM: an order that is found belongs to one request
CREATE UNIQUE INDEX action_requests_under_way ON ops.action_requests (organization_id, kind, coalesce(sim_key, 0))
    WHERE state IN ('sending', 'unclear');
SELECT ops.guard('ops.action_requests', api_reads => false);
-- requests and decisions are made by the functions below; the sender only says what became of them
REVOKE INSERT, UPDATE, DELETE ON ops.action_requests FROM simsight_pipeline;
GRANT UPDATE (state, attempts, sent_at, known_before, order_number, message, changed_by, changed_at) ON ops.action_requests
    TO simsight_pipeline;

CREATE TABLE ops.action_switches (
    organization_id smallint PRIMARY KEY REFERENCES core.organizations,
    stopped boolean NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL
);
COMMENT ON TABLE ops.action_switches IS 'The kill switch: one row an organization whose switch was ever used';
COMMENT ON COLUMN ops.action_switches.organization_id IS 'Organization';
COMMENT ON COLUMN ops.action_switches.stopped IS 'Whether no action is sent';
COMMENT ON COLUMN ops.action_switches.changed_by IS 'Who said so';
COMMENT ON COLUMN ops.action_switches.changed_at IS 'When (UTC)';
SELECT ops.guard('ops.action_switches', api_reads => false);
REVOKE DELETE ON ops.action_switches FROM simsight_pipeline;

CREATE TABLE ops.action_log (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    number bigint NOT NULL,
    at timestamptz NOT NULL,
    action_id bigint,
    event text NOT NULL,
    by_whom text NOT NULL,
    facts jsonb NOT NULL,
    previous_sha256 bytea NOT NULL,
    sha256 bytea NOT NULL,
    PRIMARY KEY (organization_id, number)
);
COMMENT ON TABLE ops.action_log IS 'One row a change of state of an action or of the kill switch; never changed, each hashed together with the one before';
COMMENT ON COLUMN ops.action_log.organization_id IS 'Organization';
COMMENT ON COLUMN ops.action_log.number IS '1, 2, 3 ... without a gap';
COMMENT ON COLUMN ops.action_log.at IS 'When (UTC)';
COMMENT ON COLUMN ops.action_log.action_id IS 'Action (ops.action_requests); NULL: the kill switch';
COMMENT ON COLUMN ops.action_log.event IS 'The new state; stopped or started of the kill switch';
COMMENT ON COLUMN ops.action_log.by_whom IS 'API key, user of the machine, or sender';
COMMENT ON COLUMN ops.action_log.facts IS 'What it is about, by keys of our own: neither secrets nor what 1NCE said';
COMMENT ON COLUMN ops.action_log.previous_sha256 IS 'sha256 of the row before; empty for the first';
COMMENT ON COLUMN ops.action_log.sha256 IS 'Hash of previous_sha256 and of everything else in the row';
SELECT ops.guard('ops.action_log', api_reads => false);
REVOKE INSERT, UPDATE, DELETE ON ops.action_log FROM simsight_pipeline;

CREATE FUNCTION ops.action_log_sha256(r ops.action_log) RETURNS bytea
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    RETURN sha256(r.previous_sha256 || convert_to(jsonb_build_array(
        r.organization_id, r.number, to_char(r.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), r.action_id, r.event,
        r.by_whom, r.facts)::text, 'UTF8'));
COMMENT ON FUNCTION ops.action_log_sha256(ops.action_log) IS 'What the sha256 of a row of the log must be';
REVOKE ALL ON FUNCTION ops.action_log_sha256(ops.action_log) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.action_log_sha256(ops.action_log) TO simsight_pipeline;

CREATE FUNCTION ops.log_action(
    organization smallint, moment timestamptz, action bigint, what text, who text, details jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made ops.action_log;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('action_log'), organization);
    made := (organization, 1, moment, action, what, who, details, ''::bytea, NULL);
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
COMMENT ON FUNCTION ops.log_action(smallint, timestamptz, bigint, text, text, jsonb) IS 'Appends a row to the log of actions';
REVOKE ALL ON FUNCTION ops.log_action(smallint, timestamptz, bigint, text, text, jsonb) FROM PUBLIC;

CREATE FUNCTION ops.action_log_stays() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'the log of actions is never changed' USING ERRCODE = 'insufficient_privilege';
END
$$;
COMMENT ON FUNCTION ops.action_log_stays() IS 'Refuses every change of the log of actions';
CREATE TRIGGER stays BEFORE UPDATE OR DELETE OR TRUNCATE ON ops.action_log
    FOR EACH STATEMENT EXECUTE FUNCTION ops.action_log_stays();

CREATE FUNCTION ops.action_requests_logged() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND
       (OLD.organization_id, OLD.kind, OLD.sim_key, OLD.parameters, OLD.idempotency_key, OLD.cost_minor, OLD.requested_by)
       IS DISTINCT FROM
       (NEW.organization_id, NEW.kind, NEW.sim_key, NEW.parameters, NEW.idempotency_key, NEW.cost_minor, NEW.requested_by) THEN
        RAISE EXCEPTION 'what was requested is never changed' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'INSERT' OR OLD.state IS DISTINCT FROM NEW.state OR OLD.attempts <> NEW.attempts THEN
        PERFORM ops.log_action(
            NEW.organization_id, NEW.changed_at, NEW.action_id, NEW.state, NEW.changed_by,
            jsonb_build_object(
                'kind', NEW.kind, 'sim_key', NEW.sim_key, 'parameters', NEW.parameters, 'cost_minor', NEW.cost_minor,
                'currency', NEW.currency, 'attempts', NEW.attempts, 'order_number', NEW.order_number,
                'recommendation_id', NEW.recommendation_id));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ops.action_requests_logged() IS 'Logs every change of state of an action, and refuses a change of what was requested';
CREATE TRIGGER logged AFTER INSERT OR UPDATE ON ops.action_requests
    FOR EACH ROW EXECUTE FUNCTION ops.action_requests_logged();

CREATE FUNCTION ops.action_switches_logged() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM ops.log_action(NEW.organization_id, NEW.changed_at, NULL, CASE WHEN NEW.stopped THEN 'stopped' ELSE 'started' END,
                           NEW.changed_by, '{}');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ops.action_switches_logged() IS 'Logs every use of the kill switch';
CREATE TRIGGER logged AFTER INSERT OR UPDATE ON ops.action_switches
    FOR EACH ROW EXECUTE FUNCTION ops.action_switches_logged();

CREATE FUNCTION ops.action_outcome(
    organization smallint, who text, what text, short_iccid text, how jsonb, key text, recommendation bigint,
    may_cost boolean, else_minor bigint, dry_run boolean, now_is timestamptz,
    OUT outcome text, OUT action_id bigint, OUT cost_minor bigint, OUT currency text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    sim integer;
    known ops.action_requests;
BEGIN
    IF short_iccid IS NOT NULL THEN
        SELECT s.sim_key INTO sim FROM core.sims AS s WHERE s.organization_id = organization AND s.iccid = short_iccid;
        IF sim IS NULL THEN
            outcome := 'unknown-sim';
            RETURN;
        END IF;
    END IF;
    cost_minor := 0;
    IF may_cost THEN  -- of several kinds of top-up the dearest
        SELECT p.one_time_minor, p.currency INTO cost_minor, currency FROM core.products AS p
        WHERE p.organization_id = organization AND p.name ~* 'top.?up' AND p.one_time_minor IS NOT NULL
        ORDER BY p.one_time_minor DESC LIMIT 1;
        cost_minor := coalesce(cost_minor, else_minor);
        IF cost_minor IS NULL THEN
            outcome := 'no-price';
            RETURN;
        END IF;
    END IF;
    IF dry_run THEN
        outcome := 'dry-run';
        RETURN;
    END IF;
    INSERT INTO ops.action_requests AS r (
        organization_id, kind, sim_key, parameters, idempotency_key, recommendation_id, cost_minor, currency, requested_by,
        requested_at, changed_by, changed_at)
    VALUES (organization, what, sim, how, key, recommendation, cost_minor, currency, who, now_is, who, now_is)
    ON CONFLICT (organization_id, idempotency_key) DO NOTHING RETURNING r.action_id INTO action_id;
    IF action_id IS NOT NULL THEN
        outcome := 'new';
        RETURN;
    END IF;
    SELECT * INTO known FROM ops.action_requests AS r WHERE r.organization_id = organization AND r.idempotency_key = key;
    action_id := known.action_id;
    outcome := CASE
        WHEN (known.kind, known.sim_key, known.parameters, known.requested_by) IS DISTINCT FROM (what, sim, how, who) THEN 'taken'
        ELSE 'same' END;
END
$$;
COMMENT ON FUNCTION ops.action_outcome(smallint, text, text, text, jsonb, text, bigint, boolean, bigint, boolean, timestamptz) IS
    'Records a request for an action, or with dry_run only says what it would cost. outcome: dry-run, new, same (requested before), taken (the idempotency key, for something else), unknown-sim or no-price';
REVOKE ALL ON FUNCTION ops.action_outcome(smallint, text, text, text, jsonb, text, bigint, boolean, bigint, boolean, timestamptz) FROM PUBLIC;

CREATE FUNCTION ops.decide_action(organization smallint, who text, wanted bigint, approve boolean, now_is timestamptz) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known ops.action_requests;
BEGIN
    SELECT * INTO known FROM ops.action_requests WHERE organization_id = organization AND action_id = wanted FOR UPDATE;
    IF known.action_id IS NULL THEN
        RETURN 'unknown';
    ELSIF known.state <> 'requested' THEN
        RETURN 'closed';
    ELSIF approve AND known.requested_by = who THEN
        RETURN 'own';
    END IF;
    UPDATE ops.action_requests
    SET state = CASE WHEN approve THEN 'approved' ELSE 'refused' END, decided_by = who, decided_at = now_is, changed_by = who,
        changed_at = now_is
    WHERE action_id = wanted;
    RETURN 'done';
END
$$;
COMMENT ON FUNCTION ops.decide_action(smallint, text, bigint, boolean, timestamptz) IS
    'Approves or refuses a request: done, unknown, closed (it waits for no decision) or own (nobody approves their own)';
REVOKE ALL ON FUNCTION ops.decide_action(smallint, text, bigint, boolean, timestamptz) FROM PUBLIC;

-- For the command line: the organization is that of the session.
CREATE FUNCTION ops.request_action_here(
    who text, what text, short_iccid text, how jsonb, key text, recommendation bigint, may_cost boolean, else_minor bigint,
    dry_run boolean, now_is timestamptz, OUT outcome text, OUT action_id bigint, OUT cost_minor bigint, OUT currency text)
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN ops.action_outcome(ops.current_organization(), who, what, short_iccid, how, key, recommendation, may_cost, else_minor,
                              dry_run, now_is);
COMMENT ON FUNCTION ops.request_action_here(text, text, text, jsonb, text, bigint, boolean, bigint, boolean, timestamptz) IS
    'action_outcome for the organization of the session';
REVOKE ALL ON FUNCTION ops.request_action_here(text, text, text, jsonb, text, bigint, boolean, bigint, boolean, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.request_action_here(text, text, text, jsonb, text, bigint, boolean, bigint, boolean, timestamptz)
    TO simsight_pipeline;

CREATE FUNCTION ops.decide_action_here(who text, wanted bigint, approve boolean, now_is timestamptz) RETURNS text
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN ops.decide_action(ops.current_organization(), who, wanted, approve, now_is);
COMMENT ON FUNCTION ops.decide_action_here(text, bigint, boolean, timestamptz) IS 'decide_action for the organization of the session';
REVOKE ALL ON FUNCTION ops.decide_action_here(text, bigint, boolean, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.decide_action_here(text, bigint, boolean, timestamptz) TO simsight_pipeline;

-- For the HTTP service: organization and name are those of a key that may act.
CREATE FUNCTION ops.acting_key(presented_sha256 bytea) RETURNS TABLE (organization_id smallint, name text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT k.organization_id, k.name FROM ops.api_keys AS k
    WHERE k.key_sha256 = presented_sha256 AND k.may_act AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());
END;
COMMENT ON FUNCTION ops.acting_key(bytea) IS 'Organization and name of a live API key that may act; no row for any other';
REVOKE ALL ON FUNCTION ops.acting_key(bytea) FROM PUBLIC;

CREATE FUNCTION ops.request_action(
    presented_sha256 bytea, what text, short_iccid text, how jsonb, key text, recommendation bigint, may_cost boolean,
    else_minor bigint, dry_run boolean, now_is timestamptz, OUT outcome text, OUT action_id bigint, OUT cost_minor bigint,
    OUT currency text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting record;
    found record;
BEGIN
    SELECT * INTO acting FROM ops.acting_key(presented_sha256);
    IF acting.organization_id IS NULL THEN
        outcome := 'may-not-act';
        RETURN;
    END IF;
    SELECT * INTO found FROM ops.action_outcome(
        acting.organization_id, 'API key ' || acting.name, what, short_iccid, how, key, recommendation, may_cost, else_minor,
        dry_run, now_is);
    outcome := found.outcome;
    action_id := found.action_id;
    cost_minor := found.cost_minor;
    currency := found.currency;
END
$$;
COMMENT ON FUNCTION ops.request_action(bytea, text, text, jsonb, text, bigint, boolean, bigint, boolean, timestamptz) IS
    'action_outcome for the organization and in the name of an API key; outcome may-not-act for a key that may not';
REVOKE ALL ON FUNCTION ops.request_action(bytea, text, text, jsonb, text, bigint, boolean, bigint, boolean, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.request_action(bytea, text, text, jsonb, text, bigint, boolean, bigint, boolean, timestamptz)
    TO simsight_api;

CREATE FUNCTION ops.approve_action(presented_sha256 bytea, wanted bigint, now_is timestamptz) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting record;
BEGIN
    SELECT * INTO acting FROM ops.acting_key(presented_sha256);
    IF acting.organization_id IS NULL THEN
        RETURN 'may-not-act';
    END IF;
    RETURN ops.decide_action(acting.organization_id, 'API key ' || acting.name, wanted, true, now_is);
END
$$;
COMMENT ON FUNCTION ops.approve_action(bytea, bigint, timestamptz) IS
    'Approves a request in the name of an API key: as decide_action, and may-not-act for a key that may not';
REVOKE ALL ON FUNCTION ops.approve_action(bytea, bigint, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.approve_action(bytea, bigint, timestamptz) TO simsight_api;

CREATE FUNCTION ops.actions(before_id bigint, only_state text, most integer) RETURNS TABLE (
    action_id bigint, kind text, iccid text, parameters jsonb, idempotency_key text, recommendation_id bigint, cost_minor bigint,
    currency text, requested_by text, requested_at timestamptz, decided_by text, decided_at timestamptz, state text,
    attempts smallint, sent_at timestamptz, order_number bigint, message text, changed_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT r.action_id, r.kind, s.iccid, r.parameters, r.idempotency_key, r.recommendation_id, r.cost_minor, r.currency,
        r.requested_by, r.requested_at, r.decided_by, r.decided_at, r.state, r.attempts, r.sent_at, r.order_number, r.message,
        r.changed_at
    FROM ops.action_requests AS r LEFT JOIN core.sims AS s USING (sim_key)
    WHERE r.organization_id = ops.current_organization() AND r.action_id < coalesce(before_id, 9223372036854775807)
        AND (only_state IS NULL OR r.state = only_state)
    ORDER BY r.action_id DESC LIMIT most;
END;
COMMENT ON FUNCTION ops.actions(bigint, text, integer) IS 'Actions of the organization of the session, the newest first';
REVOKE ALL ON FUNCTION ops.actions(bigint, text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.actions(bigint, text, integer) TO simsight_api, simsight_pipeline;
