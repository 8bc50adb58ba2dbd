-- A table that was analyzed while it was empty counts as new as well: the first day of predictions fills tables that the first
-- ingest run had looked at, and without statistics of its rows a merge reads all of a day for each SIM. Tables of raw and ops are
-- left out there, since many of them are empty again and again.
SET LOCAL ROLE simsight_owner;

CREATE OR REPLACE FUNCTION ops.analyze_new_tables() RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fresh regclass;
    analyzed integer := 0;
BEGIN
    FOR fresh IN
        SELECT oid::regclass FROM pg_class
        WHERE relkind = 'r' AND relowner = 'simsight_owner'::regrole
          AND (reltuples < 0 OR (reltuples = 0 AND relnamespace NOT IN ('raw'::regnamespace, 'ops'::regnamespace)))
          AND pg_relation_size(oid) > 0
    LOOP
        EXECUTE format('ANALYZE %s', fresh);
        analyzed := analyzed + 1;
    END LOOP;
    RETURN analyzed;
END
$$;
COMMENT ON FUNCTION ops.analyze_new_tables() IS 'Gathers statistics of the filled tables that have none yet; returns how many';
