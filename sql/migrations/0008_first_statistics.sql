-- Statistics for tables that were filled just now: until autovacuum comes by, the planner would take them for empty.
SET LOCAL ROLE simsight_owner;

CREATE FUNCTION ops.analyze_new_tables() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fresh regclass;
    analyzed integer := 0;
BEGIN
    FOR fresh IN
        SELECT oid::regclass FROM pg_class
        WHERE relkind = 'r' AND reltuples < 0 AND relowner = 'simsight_owner'::regrole
    LOOP
        EXECUTE format('ANALYZE %s', fresh);
        analyzed := analyzed + 1;
    END LOOP;
    RETURN analyzed;
END
$$;
COMMENT ON FUNCTION ops.analyze_new_tables() IS 'Gathers statistics of the tables that have none yet; returns how many';
REVOKE ALL ON FUNCTION ops.analyze_new_tables() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.analyze_new_tables() TO simsight_pipeline;
