-- Many customers of one deployment: an organization may be paused and may have settings of its own; what it uses is counted by month.
SET LOCAL ROLE simsight_owner;

ALTER TABLE core.organizations ADD COLUMN paused_at timestamptz;
COMMENT ON COLUMN core.organizations.paused_at IS 'Since when nothing runs for it and 1NCE is not asked (UTC); NULL: it is active';

CREATE TABLE ops.organization_settings (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    name text NOT NULL CHECK (name ~ '^[A-Z][A-Z0-9_]{0,62}$'),
    value text NOT NULL CHECK (length(value) BETWEEN 1 AND 1000),
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL,
    PRIMARY KEY (organization_id, name)
);
COMMENT ON TABLE ops.organization_settings IS 'One row a setting of an organization that differs from the deployment''s; read when a run begins. Holds no secret';
COMMENT ON COLUMN ops.organization_settings.organization_id IS 'Organization';
COMMENT ON COLUMN ops.organization_settings.name IS 'The setting, by the name of its environment variable';
COMMENT ON COLUMN ops.organization_settings.value IS 'Its value; of a secret where it is: env: and the name of a variable, or file: and a path';
COMMENT ON COLUMN ops.organization_settings.changed_at IS 'When it was set (UTC)';
COMMENT ON COLUMN ops.organization_settings.changed_by IS 'Who set it';
SELECT ops.guard('ops.organization_settings', api_reads => false);
REVOKE INSERT, UPDATE, DELETE ON ops.organization_settings FROM simsight_pipeline;  -- where secrets are is the administrator's to say

CREATE FUNCTION ops.active_organizations() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT slug FROM core.organizations WHERE paused_at IS NULL ORDER BY slug;
END;
COMMENT ON FUNCTION ops.active_organizations() IS 'Short names of the organizations that are not paused, for schedules and sensors';
REVOKE ALL ON FUNCTION ops.active_organizations() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.active_organizations() TO simsight_pipeline, simsight_api;

CREATE TABLE ops.once_use_by_month (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    month date NOT NULL CHECK (extract(day FROM month) = 1),
    requests bigint NOT NULL,
    PRIMARY KEY (organization_id, month)
);
COMMENT ON TABLE ops.once_use_by_month IS 'One row an organization and month: what it asked of 1NCE';
COMMENT ON COLUMN ops.once_use_by_month.organization_id IS 'Organization';
COMMENT ON COLUMN ops.once_use_by_month.month IS 'First day of the month (UTC)';
COMMENT ON COLUMN ops.once_use_by_month.requests IS 'Requests sent to 1NCE, with log-ins and retries';
SELECT ops.guard('ops.once_use_by_month', api_reads => false);
