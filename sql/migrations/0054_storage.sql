-- A database that was filled on plain PostgreSQL becomes one of hypertables, a table a transaction (simsight storage upgrade).
SET LOCAL ROLE simsight_owner;

CREATE FUNCTION ops.hypertables() RETURNS TABLE (place name, named name, time_column name, chunk interval)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN to_regclass('big.' || quote_ident(v.named)) IS NULL THEN v.place ELSE 'big' END, v.named, v.time_column, v.chunk
    FROM (VALUES
        ('core'::name, 'sim_usage'::name, 'day'::name, '30 days'::interval),
        ('core', 'sim_quota', 'day', '30 days'),
        ('core', 'sim_connectivity', 'day', '30 days'),
        ('core', 'sim_events', 'occurred_at', '30 days'),
        ('core', 'stream_usage', 'day', '30 days'),
        ('predictions', 'churn_risks', 'as_of', '30 days'),
        ('predictions', 'usage_forecasts', 'as_of', '30 days')
    ) AS v (place, named, time_column, chunk)
$$;
COMMENT ON FUNCTION ops.hypertables() IS
    'The tables that are hypertables where the server has TimescaleDB: the schema they stand in today, their time column, and how long a chunk is';

CREATE FUNCTION ops.is_hypertable(asked regclass) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found boolean := false;
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        -- named in a text: elsewhere the view is not there
        EXECUTE 'SELECT EXISTS (SELECT FROM timescaledb_information.hypertables WHERE format(''%I.%I'', hypertable_schema, hypertable_name)::regclass = $1)'
            INTO found USING asked;
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION ops.is_hypertable(regclass) IS 'Whether a table is a hypertable';

CREATE FUNCTION ops.plain_tables() RETURNS TABLE (named text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('%I.%I', h.place, h.named) FROM ops.hypertables() AS h
    WHERE NOT ops.is_hypertable(format('%I.%I', h.place, h.named)::regclass)
$$;
COMMENT ON FUNCTION ops.plain_tables() IS 'The tables that could be hypertables and are none';

-- with migrate_data: rows that are there already move into chunks; of an empty table it changes nothing
CREATE OR REPLACE FUNCTION ops.make_hypertable(big regclass, time_column name, chunk interval) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    place name := (SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'timescaledb');
BEGIN
    IF place IS NULL THEN
        RETURN false;
    END IF;
    CREATE SCHEMA IF NOT EXISTS chunks;
    EXECUTE format('SELECT %I.create_hypertable(%L::regclass, %L, chunk_time_interval => %L::interval, '
                   'associated_schema_name => ''chunks'', create_default_indexes => false, migrate_data => true)',
                   place, big, time_column, chunk);
    RETURN true;
END
$$;

CREATE FUNCTION ops.upgrade_table(plain regclass) RETURNS boolean
    LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT ops.make_hypertable(plain, h.time_column, h.chunk) FROM ops.hypertables() AS h
    WHERE format('%I.%I', h.place, h.named)::regclass = plain
$$;
COMMENT ON FUNCTION ops.upgrade_table(regclass) IS 'Makes one of ops.plain_tables a hypertable and moves its rows into chunks';
REVOKE ALL ON FUNCTION ops.hypertables(), ops.is_hypertable(regclass), ops.plain_tables(), ops.upgrade_table(regclass) FROM PUBLIC;
