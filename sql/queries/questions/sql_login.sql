-- One row: what the session's login sees and may, before SQL of others runs in it. `bound`: the login, and no setting, says the organization.
SELECT
    o.organization_id,
    o.slug,
    session_user = current_user
    AND coalesce(current_setting('simsight.organization', true), '') = ''
    AND o.organization_id = (SELECT ops.current_organization())
    AND NOT (r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication)
    AND pg_has_role(session_user, 'simsight_downstream', 'USAGE')
    AND NOT EXISTS (
        SELECT FROM pg_roles AS other
        WHERE other.rolname NOT IN (session_user, 'simsight_downstream') AND pg_has_role(session_user, other.oid, 'MEMBER')
    ) AS bound,
    current_setting('temp_file_limit') <> '-1' AS spills_bounded
FROM core.organizations AS o
CROSS JOIN (SELECT * FROM pg_roles WHERE rolname = session_user) AS r
LIMIT 2
