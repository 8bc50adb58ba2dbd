-- The organization of a session cannot be forged. A session shows a secret that only functions of the owner give out, for a slug to the
-- pipeline and for a live key to the HTTP service; or its login was made for one organization, and no setting changes that.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'simsight_downstream') THEN
        CREATE ROLE simsight_downstream NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- another database of the same server is being migrated right now: roles belong to the server
END
$$;
SET LOCAL ROLE simsight_owner;

CREATE TABLE ops.organization_secrets (
    organization_id smallint PRIMARY KEY REFERENCES core.organizations ON DELETE CASCADE,
    secret text NOT NULL UNIQUE DEFAULT gen_random_uuid()::text || gen_random_uuid()::text
);
COMMENT ON TABLE ops.organization_secrets IS 'One row an organization: what a session shows to work for it; only the owner may read it';
COMMENT ON COLUMN ops.organization_secrets.organization_id IS 'Organization';
COMMENT ON COLUMN ops.organization_secrets.secret IS '244 random bits, in the setting simsight.organization of a session';
SELECT ops.guard('ops.organization_secrets', api_reads => false);
REVOKE ALL ON ops.organization_secrets FROM simsight_pipeline;
INSERT INTO ops.organization_secrets (organization_id) SELECT organization_id FROM core.organizations;

CREATE FUNCTION ops.give_organization_secret() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO ops.organization_secrets (organization_id) VALUES (NEW.organization_id);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ops.give_organization_secret() IS 'Trigger: a new organization has a secret';
REVOKE ALL ON FUNCTION ops.give_organization_secret() FROM PUBLIC;
CREATE TRIGGER organization_secret AFTER INSERT ON core.organizations FOR EACH ROW EXECUTE FUNCTION ops.give_organization_secret();

CREATE TABLE ops.downstream_logins (
    login name PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    created_at timestamptz NOT NULL
);
COMMENT ON TABLE ops.downstream_logins IS 'One row a login of PostgreSQL that reads one organization with SQL of its own; only the owner may read or write it';
COMMENT ON COLUMN ops.downstream_logins.login IS 'Name of the login';
COMMENT ON COLUMN ops.downstream_logins.organization_id IS 'The one organization it sees';
COMMENT ON COLUMN ops.downstream_logins.created_at IS 'When it was made (UTC)';
SELECT ops.guard('ops.downstream_logins', api_reads => false);
REVOKE ALL ON ops.downstream_logins FROM simsight_pipeline;

-- plpgsql keeps its plans for the session: every policy asks this
CREATE OR REPLACE FUNCTION ops.current_organization() RETURNS smallint
    LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    shown text := current_setting('simsight.organization', true);
BEGIN
    IF shown <> '' THEN
        RETURN (SELECT organization_id FROM ops.organization_secrets WHERE secret = shown);
    END IF;
    RETURN (SELECT organization_id FROM ops.downstream_logins WHERE login = session_user);
END
$$;
COMMENT ON FUNCTION ops.current_organization() IS
    'The organization this session works for: that whose secret it shows, or else that of its login; NULL (nothing is visible) for none';

CREATE FUNCTION ops.enter(slug_of text) RETURNS smallint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found record;
BEGIN
    SELECT organization_id, secret INTO found FROM core.organizations JOIN ops.organization_secrets USING (organization_id) WHERE slug = slug_of;
    PERFORM set_config('simsight.organization', coalesce(found.secret, ''), false);
    RETURN found.organization_id;
END
$$;
COMMENT ON FUNCTION ops.enter(text) IS 'From now on the session works for the organization of this slug, which is returned; NULL for an unknown one, and nothing is visible';
REVOKE ALL ON FUNCTION ops.enter(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.enter(text) TO simsight_pipeline;

CREATE FUNCTION ops.enter_by_key(presented_sha256 bytea) RETURNS smallint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    opened smallint := ops.authenticate(presented_sha256);
BEGIN
    PERFORM set_config('simsight.organization', coalesce((SELECT secret FROM ops.organization_secrets WHERE organization_id = opened), ''), true);
    RETURN opened;
END
$$;
COMMENT ON FUNCTION ops.enter_by_key(bytea) IS
    'The rest of the transaction works for the organization that a live API key opens, by its SHA-256; NULL for any other, and nothing is visible';
REVOKE ALL ON FUNCTION ops.enter_by_key(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.enter_by_key(bytea) TO simsight_api;

-- What a login of others may do: read. Not the functions of the HTTP service, and nothing of ops but what views ask.
GRANT USAGE ON SCHEMA core, predictions, ops TO simsight_downstream;
GRANT SELECT ON ALL TABLES IN SCHEMA core, predictions TO simsight_downstream;
ALTER DEFAULT PRIVILEGES IN SCHEMA core GRANT SELECT ON TABLES TO simsight_downstream;
ALTER DEFAULT PRIVILEGES IN SCHEMA predictions GRANT SELECT ON TABLES TO simsight_downstream;
GRANT EXECUTE ON FUNCTION ops.usage_booked_to(integer), ops.usage_answers() TO simsight_downstream;
