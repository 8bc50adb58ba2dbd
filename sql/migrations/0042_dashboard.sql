-- What the dashboard reads and who is signed in to it.
SET LOCAL ROLE simsight_owner;

CREATE TABLE predictions.fleet_summaries (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    as_of date NOT NULL,
    content jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, as_of)
);
COMMENT ON TABLE predictions.fleet_summaries IS 'One row an as-of day: the fleet as the dashboard shows it, written with the report';
COMMENT ON COLUMN predictions.fleet_summaries.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.fleet_summaries.as_of IS 'Last day that was known';
COMMENT ON COLUMN predictions.fleet_summaries.content IS 'Figures, daily usage and forecast, first SIMs of each list, money; volumes in bytes (millionths of a MB), amounts in minor units';
COMMENT ON COLUMN predictions.fleet_summaries.created_at IS 'When it was written (UTC)';
SELECT ops.guard('predictions.fleet_summaries');

CREATE TABLE ops.api_sessions (
    session_sha256 bytea PRIMARY KEY CHECK (length(session_sha256) = 32),
    organization_id smallint NOT NULL REFERENCES core.organizations,
    key_id integer NOT NULL REFERENCES ops.api_keys,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE ops.api_sessions IS 'One row a browser that is signed in to the dashboard: it may do what its key may, as long as both are live';
COMMENT ON COLUMN ops.api_sessions.session_sha256 IS 'SHA-256 of the session''s token, which only its cookie holds';
COMMENT ON COLUMN ops.api_sessions.organization_id IS 'Organization';
COMMENT ON COLUMN ops.api_sessions.key_id IS 'Key it was opened with (ops.api_keys)';
COMMENT ON COLUMN ops.api_sessions.expires_at IS 'When it ends (UTC)';
SELECT ops.guard('ops.api_sessions', api_reads => false);
REVOKE ALL ON ops.api_sessions FROM simsight_pipeline;

CREATE FUNCTION ops.key_of_session(presented bytea) RETURNS integer
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN (SELECT key_id FROM ops.api_sessions WHERE session_sha256 = presented AND expires_at > now());
COMMENT ON FUNCTION ops.key_of_session(bytea) IS 'The key that a live session of the dashboard was opened with; NULL for any other';
REVOKE ALL ON FUNCTION ops.key_of_session(bytea) FROM PUBLIC;

CREATE OR REPLACE FUNCTION ops.authenticate(presented_sha256 bytea) RETURNS smallint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN coalesce((
        SELECT organization_id FROM ops.api_keys
        WHERE key_sha256 = presented_sha256 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
    ), (
        -- looked for only where no key was found
        SELECT organization_id FROM ops.api_keys
        WHERE key_id = ops.key_of_session(presented_sha256) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
    ));
COMMENT ON FUNCTION ops.authenticate(bytea) IS
    'The organization that an API key or a session of the dashboard opens, by its SHA-256; NULL for an unknown, expired or revoked one';

CREATE OR REPLACE FUNCTION ops.live_key(presented bytea) RETURNS TABLE (key_id integer, organization_id smallint, name text, scopes text[])
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT k.key_id, k.organization_id,
        CASE WHEN k.for_tokens THEN k.name || ':' || convert_from(substr(presented, 33), 'UTF8') ELSE k.name END, k.scopes
    FROM ops.api_keys AS k
    WHERE ((k.key_sha256 = substr(presented, 1, 32) AND k.for_tokens = (length(presented) > 32)) OR k.key_id = ops.key_of_session(presented))
        AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());
END;
COMMENT ON FUNCTION ops.live_key(bytea) IS
    'A live API key by its SHA-256 or that of a session of the dashboard; where the key stands for tokens, the subject of a token follows and its name has the subject';

CREATE OR REPLACE FUNCTION ops.key_facts(presented_sha256 bytea) RETURNS TABLE (scopes text[], networks text[], for_tokens boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT k.scopes, k.networks::text[], k.for_tokens FROM ops.api_keys AS k
    WHERE k.key_sha256 = presented_sha256 OR k.key_id = ops.key_of_session(presented_sha256);
END;

CREATE FUNCTION ops.open_session(presented bytea, session_sha256 bytea, lasts interval) RETURNS boolean
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
    DELETE FROM ops.api_sessions AS s WHERE s.organization_id = opened.organization_id AND s.expires_at <= now();
    INSERT INTO ops.api_sessions (session_sha256, organization_id, key_id, expires_at)
    VALUES (session_sha256, opened.organization_id, opened.key_id, now() + lasts);
    RETURN true;
END
$$;
COMMENT ON FUNCTION ops.open_session(bytea, bytea, interval) IS 'Opens a session of the dashboard for a live API key; false for any other';
REVOKE ALL ON FUNCTION ops.open_session(bytea, bytea, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.open_session(bytea, bytea, interval) TO simsight_api;

CREATE FUNCTION ops.close_session(ended bytea) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    DELETE FROM ops.api_sessions WHERE session_sha256 = ended;
END;
COMMENT ON FUNCTION ops.close_session(bytea) IS 'Ends a session of the dashboard, by the SHA-256 of its token';
REVOKE ALL ON FUNCTION ops.close_session(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.close_session(bytea) TO simsight_api;
