-- Schemas, the three roles, organizations, and what holds the line between organizations.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'simsight_owner') THEN
        CREATE ROLE simsight_owner NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'simsight_pipeline') THEN
        CREATE ROLE simsight_pipeline NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'simsight_api') THEN
        CREATE ROLE simsight_api NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- another database of the same server is being migrated right now: roles belong to the server
END
$$;
DO $$
DECLARE
    needed name;
BEGIN
    FOREACH needed IN ARRAY ARRAY['simsight_owner', 'simsight_pipeline', 'simsight_api'] LOOP
        IF NOT pg_has_role(current_user, needed, 'USAGE') THEN
            EXECUTE format('GRANT %I TO %I', needed, current_user);
        END IF;
    END LOOP;
    EXECUTE format('GRANT CREATE, TEMPORARY ON DATABASE %I TO simsight_owner', current_database());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO simsight_pipeline', current_database());
END
$$;

CREATE SCHEMA raw AUTHORIZATION simsight_owner;
CREATE SCHEMA core AUTHORIZATION simsight_owner;
CREATE SCHEMA predictions AUTHORIZATION simsight_owner;
CREATE SCHEMA IF NOT EXISTS ops AUTHORIZATION simsight_owner;
ALTER SCHEMA ops OWNER TO simsight_owner;
COMMENT ON SCHEMA raw IS 'What came from outside, as it came';
COMMENT ON SCHEMA core IS 'Checked facts about SIMs, usage, quotas, events, orders and tickets';
COMMENT ON SCHEMA predictions IS 'What the models say: forecasts, exhaustion, alerts, backtests, reports';
COMMENT ON SCHEMA ops IS 'How the pipeline itself is doing: migrations, polling, quarantine, API keys';

GRANT SELECT ON ops.schema_migrations TO simsight_pipeline, simsight_api;

SET LOCAL ROLE simsight_owner;

GRANT USAGE ON SCHEMA raw, core, predictions, ops TO simsight_pipeline;
GRANT USAGE ON SCHEMA core, predictions, ops TO simsight_api;

CREATE TABLE core.organizations (
    organization_id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    data_note text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE core.organizations IS 'One row a customer whose SIMs are watched';
COMMENT ON COLUMN core.organizations.organization_id IS 'Key carried by every other table';
COMMENT ON COLUMN core.organizations.slug IS 'Short name used in settings';
COMMENT ON COLUMN core.organizations.data_note IS 'Shown wherever the data is shown, such as synthetic data; empty for a real account';
COMMENT ON COLUMN core.organizations.created_at IS 'When the organization was added (UTC)';

CREATE FUNCTION ops.current_organization() RETURNS smallint
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('simsight.organization_id', true), '')::smallint;
COMMENT ON FUNCTION ops.current_organization() IS 'The organization this session works for; NULL (nothing is visible) when none is set';

-- Row-level security and grants of one table, the same everywhere: a session sees its own organization's rows only.
CREATE FUNCTION ops.guard(guarded regclass, api_reads boolean DEFAULT true) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
    EXECUTE format(
        'CREATE POLICY own_organization ON %s USING (organization_id = (SELECT ops.current_organization()))', guarded);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO simsight_pipeline', guarded);
    IF api_reads THEN
        EXECUTE format('GRANT SELECT ON %s TO simsight_api', guarded);
    END IF;
END
$$;
COMMENT ON FUNCTION ops.guard(regclass, boolean) IS 'Row-level security by organization and the grants of the pipeline and API roles';

-- A hypertable where the server has TimescaleDB, a plain table where not. Row-level security guards the hypertable but not its
-- chunks, to which its grants are copied: they stand in a schema that only the owner may look into.
CREATE FUNCTION ops.make_hypertable(big regclass, time_column name, chunk interval) RETURNS boolean
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        RETURN false;
    END IF;
    CREATE SCHEMA IF NOT EXISTS chunks;
    EXECUTE format('SELECT create_hypertable(%L::regclass, %L, chunk_time_interval => %L::interval, '
                   'associated_schema_name => ''chunks'', create_default_indexes => false)', big, time_column, chunk);
    RETURN true;
END
$$;
COMMENT ON FUNCTION ops.make_hypertable(regclass, name, interval) IS 'Turns a table into a hypertable where TimescaleDB is there; says whether it did';

SELECT ops.guard('core.organizations');
REVOKE INSERT, UPDATE, DELETE ON core.organizations FROM simsight_pipeline;  -- only the owner adds and renames customers

CREATE FUNCTION ops.organization(wanted text) RETURNS smallint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN (SELECT organization_id FROM core.organizations WHERE slug = wanted);
COMMENT ON FUNCTION ops.organization(text) IS 'The key of an organization by its slug, before a session has chosen one';
REVOKE ALL ON FUNCTION ops.organization(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.organization(text) TO simsight_pipeline;

CREATE TABLE ops.api_keys (
    key_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations,
    name text NOT NULL,
    key_sha256 bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);
COMMENT ON TABLE ops.api_keys IS 'Keys of the HTTP service; only their SHA-256 is kept, the keys are 256 random bits';
COMMENT ON COLUMN ops.api_keys.key_id IS 'Key';
COMMENT ON COLUMN ops.api_keys.organization_id IS 'The one organization the key opens';
COMMENT ON COLUMN ops.api_keys.name IS 'What the key is for';
COMMENT ON COLUMN ops.api_keys.key_sha256 IS 'SHA-256 of the key';
COMMENT ON COLUMN ops.api_keys.created_at IS 'When it was made (UTC)';
COMMENT ON COLUMN ops.api_keys.expires_at IS 'When it stops working (UTC); NULL: never';
COMMENT ON COLUMN ops.api_keys.revoked_at IS 'When it was revoked (UTC); NULL: it was not';
SELECT ops.guard('ops.api_keys', api_reads => false);

CREATE FUNCTION ops.authenticate(presented_sha256 bytea) RETURNS smallint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN (
        SELECT organization_id FROM ops.api_keys
        WHERE key_sha256 = presented_sha256 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
    );
COMMENT ON FUNCTION ops.authenticate(bytea) IS 'The organization an API key opens, by the SHA-256 of the key; NULL for an unknown, expired or revoked key';
REVOKE ALL ON FUNCTION ops.authenticate(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.authenticate(bytea) TO simsight_api;
