-- Policies ask a view of the owner, which is planned into every statement, instead of calling a function of the owner. The view tells
-- a session nothing but the organization it works for. One look-up by one key finds it, whether the session shows a secret or is a login
-- of others. What a session shows is looked for among secrets only: no setting stands for the name of a login.
SET LOCAL ROLE simsight_owner;

CREATE TABLE ops.session_keys (
    shown text PRIMARY KEY,
    organization_id smallint NOT NULL REFERENCES core.organizations ON DELETE CASCADE
);
COMMENT ON TABLE ops.session_keys IS 'What opens an organization to a session: triggers keep all secrets and all logins of others here; only the owner may read it';
COMMENT ON COLUMN ops.session_keys.shown IS 'secret and the secret of an organization, or login and the name of a login';
COMMENT ON COLUMN ops.session_keys.organization_id IS 'The organization it opens';
INSERT INTO ops.session_keys (shown, organization_id)
SELECT 'secret ' || secret, organization_id FROM ops.organization_secrets
UNION ALL
SELECT 'login ' || login, organization_id FROM ops.downstream_logins;

CREATE FUNCTION ops.keep_session_keys() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM ops.session_keys WHERE shown = TG_ARGV[0] || ' ' || (to_jsonb(OLD) ->> TG_ARGV[0]);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO ops.session_keys (shown, organization_id)
        VALUES (TG_ARGV[0] || ' ' || (to_jsonb(NEW) ->> TG_ARGV[0]), NEW.organization_id);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ops.keep_session_keys() IS 'Trigger: ops.session_keys has the key of each row; the argument names its column';
REVOKE ALL ON FUNCTION ops.keep_session_keys() FROM PUBLIC;
CREATE TRIGGER session_keys AFTER INSERT OR UPDATE OR DELETE ON ops.organization_secrets
    FOR EACH ROW EXECUTE FUNCTION ops.keep_session_keys('secret');
CREATE TRIGGER session_keys AFTER INSERT OR UPDATE OR DELETE ON ops.downstream_logins
    FOR EACH ROW EXECUTE FUNCTION ops.keep_session_keys('login');

-- A secret counts for logins of the service and the pipeline only: a login of others is bound by its name, whatever it shows.
-- A barrier, as no function of a session may see the rows of others before they are left out.
CREATE VIEW ops.session_organization WITH (security_barrier = true) AS
SELECT organization_id
FROM ops.session_keys
WHERE shown = CASE
    WHEN pg_has_role(session_user, 'simsight_api', 'MEMBER') OR pg_has_role(session_user, 'simsight_pipeline', 'MEMBER')
        THEN 'secret ' || current_setting('simsight.organization', true)
    ELSE 'login ' || session_user
END;
COMMENT ON VIEW ops.session_organization IS
    'The organization this session works for: that whose secret it shows or, for a login of others, that of the login; no row for none';
GRANT SELECT ON ops.session_organization TO PUBLIC;

-- the names in it are whole, so that no search_path leads elsewhere
CREATE OR REPLACE FUNCTION ops.current_organization() RETURNS smallint
    LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    RETURN (SELECT v.organization_id FROM ops.session_organization AS v);
END
$$;
COMMENT ON FUNCTION ops.current_organization() IS 'The organization this session works for; NULL (nothing is visible) for none';

CREATE OR REPLACE FUNCTION ops.guard(guarded regclass, api_reads boolean DEFAULT true) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
    EXECUTE format(
        'CREATE POLICY own_organization ON %s USING (organization_id = (SELECT organization_id FROM ops.session_organization))', guarded);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO simsight_pipeline', guarded);
    IF api_reads THEN
        EXECUTE format('GRANT SELECT ON %s TO simsight_api', guarded);
    END IF;
END
$$;

DO $$
DECLARE
    guarded regclass;
BEGIN
    FOR guarded IN SELECT polrelid::regclass FROM pg_policy WHERE polname = 'own_organization' ORDER BY polrelid LOOP
        EXECUTE format('ALTER POLICY own_organization ON %s'
                       ' USING (organization_id = (SELECT organization_id FROM ops.session_organization))', guarded);
    END LOOP;
END
$$;
SELECT ops.guard('ops.session_keys', api_reads => false);
REVOKE ALL ON ops.session_keys FROM simsight_pipeline;
