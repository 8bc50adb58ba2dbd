-- API keys with scopes, networks and rotation; keys that stand for tokens of an identity provider.
SET LOCAL ROLE simsight_owner;

-- --- Keys ---
ALTER TABLE ops.api_keys
    ADD COLUMN scopes text[] NOT NULL DEFAULT '{read}'
        CHECK (scopes <@ ARRAY['read', 'alerts', 'actions', 'admin'] AND cardinality(scopes) > 0),
    ADD COLUMN networks cidr[] NOT NULL DEFAULT '{}',
    ADD COLUMN for_tokens boolean NOT NULL DEFAULT false,
    ADD COLUMN rotated_at timestamptz,
    ADD COLUMN changed_by text NOT NULL DEFAULT '';
COMMENT ON COLUMN ops.api_keys.scopes IS 'What it may do: read; alerts (act on alerts, write rules, correct, decide); actions (request and approve at 1NCE); admin (keys)';
COMMENT ON COLUMN ops.api_keys.networks IS 'Networks it may be used from; empty: from everywhere';
COMMENT ON COLUMN ops.api_keys.for_tokens IS 'Whether it stands for the tokens of the identity provider; such a key is known to the service alone';
COMMENT ON COLUMN ops.api_keys.rotated_at IS 'When a new key of its name took its place (UTC); it works until expires_at. NULL: it was not rotated';
COMMENT ON COLUMN ops.api_keys.changed_by IS 'Who made, rotated or revoked it last; empty: before that was kept';
-- every key could read; what it could do beside that it can do still
UPDATE ops.api_keys SET scopes = ARRAY['read'] || CASE WHEN can_write THEN ARRAY['alerts'] ELSE '{}' END
                                 || CASE WHEN may_act THEN ARRAY['actions'] ELSE '{}' END;

CREATE FUNCTION ops.live_key(presented bytea) RETURNS TABLE (key_id integer, organization_id smallint, name text, scopes text[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT k.key_id, k.organization_id,
        CASE WHEN k.for_tokens THEN k.name || ':' || convert_from(substr(presented, 33), 'UTF8') ELSE k.name END, k.scopes
    FROM ops.api_keys AS k
    WHERE k.key_sha256 = substr(presented, 1, 32) AND k.for_tokens = (length(presented) > 32)
        AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());
END;
COMMENT ON FUNCTION ops.live_key(bytea) IS
    'A live API key by its SHA-256, which the subject of a token follows where the key stands for tokens: its name has the subject then';
REVOKE ALL ON FUNCTION ops.live_key(bytea) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ops.writing_key(presented_sha256 bytea) RETURNS TABLE (organization_id smallint, name text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT k.organization_id, k.name FROM ops.live_key(presented_sha256) AS k WHERE 'alerts' = ANY (k.scopes);
END;
COMMENT ON FUNCTION ops.writing_key(bytea) IS 'Organization and name of a live API key of scope alerts; no row for any other';

CREATE OR REPLACE FUNCTION ops.acting_key(presented_sha256 bytea) RETURNS TABLE (organization_id smallint, name text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT k.organization_id, k.name FROM ops.live_key(presented_sha256) AS k WHERE 'actions' = ANY (k.scopes);
END;
COMMENT ON FUNCTION ops.acting_key(bytea) IS 'Organization and name of a live API key of scope actions; no row for any other';

ALTER TABLE ops.api_keys DROP COLUMN can_write, DROP COLUMN may_act;

CREATE FUNCTION ops.key_facts(presented_sha256 bytea) RETURNS TABLE (scopes text[], networks text[], for_tokens boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT k.scopes, k.networks::text[], k.for_tokens FROM ops.api_keys AS k WHERE k.key_sha256 = presented_sha256;
END;
COMMENT ON FUNCTION ops.key_facts(bytea) IS 'What a key was made for, which never changes; whether it is live, ops.authenticate says';
REVOKE ALL ON FUNCTION ops.key_facts(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.key_facts(bytea) TO simsight_api;

CREATE FUNCTION ops.add_api_key(
    organization smallint, who text, new_name text, new_sha256 bytea, ends timestamptz, wanted text[], allowed cidr[], tokens boolean,
    now_is timestamptz) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('api_keys'), organization);
    IF ends <= now() THEN
        RETURN 'expired';
    ELSIF EXISTS (SELECT FROM ops.api_keys AS k WHERE k.organization_id = organization AND k.name = new_name
                  AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())) THEN
        RETURN 'taken';
    END IF;
    INSERT INTO ops.api_keys (organization_id, name, key_sha256, created_at, expires_at, scopes, networks, for_tokens, changed_by)
    VALUES (organization, new_name, new_sha256, now_is, ends, wanted, allowed, tokens, who)
    ON CONFLICT (key_sha256) DO NOTHING;
    RETURN CASE WHEN FOUND THEN 'done' ELSE 'taken' END;
END
$$;
COMMENT ON FUNCTION ops.add_api_key(smallint, text, text, bytea, timestamptz, text[], cidr[], boolean, timestamptz) IS
    'Adds a key: done, taken (a live key has the name) or expired (it would have, by the clock of the server)';
REVOKE ALL ON FUNCTION ops.add_api_key(smallint, text, text, bytea, timestamptz, text[], cidr[], boolean, timestamptz) FROM PUBLIC;

CREATE FUNCTION ops.replace_api_key(
    organization smallint, who text, wanted text, new_sha256 bytea, overlap interval, granted text[], now_is timestamptz,
    OUT outcome text, OUT expires_at timestamptz, OUT old_until timestamptz, OUT scopes text[])
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    old ops.api_keys;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('api_keys'), organization);
    SELECT * INTO old FROM ops.api_keys AS k
    WHERE k.organization_id = organization AND k.name = wanted AND k.revoked_at IS NULL
        AND (k.expires_at IS NULL OR k.expires_at > now())
    ORDER BY k.key_id DESC LIMIT 1;
    IF old.key_id IS NULL THEN
        outcome := 'unknown';
        RETURN;
    ELSIF old.for_tokens THEN
        outcome := 'tokens';
        RETURN;
    ELSIF NOT old.scopes <@ granted THEN
        outcome := 'beyond';
        scopes := old.scopes;
        RETURN;
    END IF;
    old_until := least(coalesce(old.expires_at, 'infinity'), now() + overlap);
    UPDATE ops.api_keys AS k
    SET expires_at = least(coalesce(k.expires_at, 'infinity'), now() + overlap), rotated_at = coalesce(k.rotated_at, now_is),
        changed_by = who
    WHERE k.organization_id = organization AND k.name = wanted AND k.revoked_at IS NULL
        AND (k.expires_at IS NULL OR k.expires_at > now());
    expires_at := now_is + (old.expires_at - old.created_at);
    scopes := old.scopes;
    INSERT INTO ops.api_keys (organization_id, name, key_sha256, created_at, expires_at, scopes, networks, changed_by)
    VALUES (organization, wanted, new_sha256, now_is, expires_at, old.scopes, old.networks, who);
    outcome := 'done';
END
$$;
COMMENT ON FUNCTION ops.replace_api_key(smallint, text, text, bytea, interval, text[], timestamptz) IS
    'Gives a key a successor of the same name, rights and lifetime; the old one works on for the overlap: done, unknown, tokens (it stands for tokens) or beyond (it has scopes that are not in granted)';
REVOKE ALL ON FUNCTION ops.replace_api_key(smallint, text, text, bytea, interval, text[], timestamptz) FROM PUBLIC;

CREATE FUNCTION ops.end_api_key(organization smallint, who text, wanted text) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ended integer;
BEGIN
    UPDATE ops.api_keys SET revoked_at = now(), changed_by = who
    WHERE organization_id = organization AND name = wanted AND revoked_at IS NULL;
    GET DIAGNOSTICS ended = ROW_COUNT;
    RETURN ended;
END
$$;
COMMENT ON FUNCTION ops.end_api_key(smallint, text, text) IS 'Revokes every key of the name that is not revoked; says how many';
REVOKE ALL ON FUNCTION ops.end_api_key(smallint, text, text) FROM PUBLIC;

-- For the command line: the organization is that of the session.
CREATE FUNCTION ops.add_api_key_here(
    who text, new_name text, new_sha256 bytea, ends timestamptz, wanted text[], allowed cidr[], tokens boolean, now_is timestamptz)
    RETURNS text
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN ops.add_api_key(ops.current_organization(), who, new_name, new_sha256, ends, wanted, allowed, tokens, now_is);
CREATE FUNCTION ops.replace_api_key_here(
    who text, wanted text, new_sha256 bytea, overlap interval, now_is timestamptz,
    OUT outcome text, OUT expires_at timestamptz, OUT old_until timestamptz, OUT scopes text[])
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN ops.replace_api_key(ops.current_organization(), who, wanted, new_sha256, overlap, NULL, now_is);
CREATE FUNCTION ops.end_api_key_here(who text, wanted text) RETURNS integer
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN ops.end_api_key(ops.current_organization(), who, wanted);
COMMENT ON FUNCTION ops.add_api_key_here(text, text, bytea, timestamptz, text[], cidr[], boolean, timestamptz) IS 'add_api_key for the organization of the session';
COMMENT ON FUNCTION ops.replace_api_key_here(text, text, bytea, interval, timestamptz) IS 'replace_api_key for the organization of the session';
COMMENT ON FUNCTION ops.end_api_key_here(text, text) IS 'end_api_key for the organization of the session';
REVOKE ALL ON FUNCTION ops.add_api_key_here(text, text, bytea, timestamptz, text[], cidr[], boolean, timestamptz),
    ops.replace_api_key_here(text, text, bytea, interval, timestamptz), ops.end_api_key_here(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.add_api_key_here(text, text, bytea, timestamptz, text[], cidr[], boolean, timestamptz),
    ops.replace_api_key_here(text, text, bytea, interval, timestamptz), ops.end_api_key_here(text, text) TO simsight_pipeline;

-- For the HTTP service: organization and name are those of a key of scope admin, which gives nothing that it has not itself.
CREATE FUNCTION ops.add_api_key_by(
    presented bytea, new_name text, new_sha256 bytea, ends timestamptz, wanted text[], allowed cidr[], now_is timestamptz) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    by_key record;
BEGIN
    SELECT * INTO by_key FROM ops.live_key(presented);
    IF 'admin' = ANY (by_key.scopes) IS NOT TRUE THEN
        RETURN 'not-admin';
    ELSIF NOT wanted <@ by_key.scopes THEN
        RETURN 'beyond';
    END IF;
    RETURN ops.add_api_key(by_key.organization_id, 'API key ' || by_key.name, new_name, new_sha256, ends, wanted, allowed, false, now_is);
END
$$;
CREATE FUNCTION ops.replace_api_key_by(
    presented bytea, wanted text, new_sha256 bytea, overlap interval, granted text[], now_is timestamptz,
    OUT outcome text, OUT expires_at timestamptz, OUT old_until timestamptz, OUT scopes text[])
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    by_key record;
    made record;
BEGIN
    SELECT * INTO by_key FROM ops.live_key(presented);
    IF 'admin' = ANY (by_key.scopes) IS NOT TRUE THEN
        outcome := 'not-admin';
        RETURN;
    ELSIF NOT granted <@ by_key.scopes THEN
        outcome := 'beyond';
        RETURN;
    END IF;
    SELECT * INTO made FROM ops.replace_api_key(
        by_key.organization_id, 'API key ' || by_key.name, wanted, new_sha256, overlap, granted, now_is);
    outcome := made.outcome;
    expires_at := made.expires_at;
    old_until := made.old_until;
    scopes := made.scopes;
END
$$;
CREATE FUNCTION ops.end_api_key_by(presented bytea, wanted text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    by_key record;
BEGIN
    SELECT * INTO by_key FROM ops.live_key(presented);
    IF 'admin' = ANY (by_key.scopes) IS NOT TRUE THEN
        RETURN 'not-admin';
    END IF;
    RETURN CASE WHEN ops.end_api_key(by_key.organization_id, 'API key ' || by_key.name, wanted) > 0 THEN 'done' ELSE 'unknown' END;
END
$$;
COMMENT ON FUNCTION ops.add_api_key_by(bytea, text, bytea, timestamptz, text[], cidr[], timestamptz) IS
    'add_api_key for the organization and in the name of a key: also not-admin, and beyond (a scope that the key itself has not)';
COMMENT ON FUNCTION ops.replace_api_key_by(bytea, text, bytea, interval, text[], timestamptz) IS
    'replace_api_key for the organization and in the name of a key: also not-admin';
COMMENT ON FUNCTION ops.end_api_key_by(bytea, text) IS 'end_api_key for the organization and in the name of a key: done, unknown or not-admin';
REVOKE ALL ON FUNCTION ops.add_api_key_by(bytea, text, bytea, timestamptz, text[], cidr[], timestamptz),
    ops.replace_api_key_by(bytea, text, bytea, interval, text[], timestamptz), ops.end_api_key_by(bytea, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.add_api_key_by(bytea, text, bytea, timestamptz, text[], cidr[], timestamptz),
    ops.replace_api_key_by(bytea, text, bytea, interval, text[], timestamptz), ops.end_api_key_by(bytea, text) TO simsight_api;

CREATE FUNCTION ops.keys() RETURNS TABLE (
    key_id integer, name text, scopes text[], networks text[], for_tokens boolean, created_at timestamptz, expires_at timestamptz,
    rotated_at timestamptz, revoked_at timestamptz, live boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT k.key_id, k.name, k.scopes, k.networks::text[], k.for_tokens, k.created_at, k.expires_at, k.rotated_at, k.revoked_at,
        k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
    FROM ops.api_keys AS k WHERE k.organization_id = ops.current_organization() ORDER BY k.key_id;
END;
COMMENT ON FUNCTION ops.keys() IS 'The keys of the organization of the session, oldest first; neither keys nor hashes';
REVOKE ALL ON FUNCTION ops.keys() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.keys() TO simsight_api, simsight_pipeline;
