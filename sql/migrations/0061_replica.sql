-- Whether a replica has what people wrote.
SET LOCAL ROLE simsight_owner;

CREATE FUNCTION ops.last_write() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN (
        SELECT number FROM ops.action_log WHERE organization_id = ops.current_organization() ORDER BY number DESC LIMIT 1
    );
COMMENT ON FUNCTION ops.last_write() IS
    'Number of the last line in the log of writes of the organization of the transaction; NULL without one. A replica that has it has all that people wrote before';
REVOKE ALL ON FUNCTION ops.last_write() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.last_write() TO simsight_api;
