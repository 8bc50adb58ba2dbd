-- TimescaleDB compresses no table that has row-level security. Where the server can compress (its Community edition), the tables that grow by
-- rows of every SIM and day therefore stand in a schema of the owner, without it, and views of the old names hold the line between
-- organizations; simsight migrate asks for that (ops.put_behind_views). On every other server the tables stay where they are, with row-level
-- security. The views of the schema own are what statements of the pipeline and published views read on both: there simply the table, here
-- the rows of the organization of the session, without a barrier, so that the planner knows of them what it knows of the table.
SET LOCAL ROLE simsight_owner;

CREATE SCHEMA big;
COMMENT ON SCHEMA big IS 'Tables that grow by rows of every SIM and day, where the server compresses: nobody but the owner may look into it';
CREATE SCHEMA own;
COMMENT ON SCHEMA own IS 'The rows of big tables that belong to the organization of the session, for the statements of the pipeline';
GRANT USAGE ON SCHEMA own TO simsight_pipeline;

CREATE FUNCTION ops.big_tables() RETURNS TABLE (place name, named name, in_order text)
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    VALUES ('core'::name, 'sim_usage'::name, 'sim_key, day'),
           ('core', 'sim_quota', 'sim_key, kind, day'),
           ('core', 'sim_connectivity', 'sim_key, day'),
           ('predictions', 'usage_forecasts', 'sim_key, as_of, day'),
           ('core', 'sim_events', NULL),
           ('core', 'stream_usage', NULL)
$$;
COMMENT ON FUNCTION ops.big_tables() IS
    'The tables that grow by rows of every SIM and day, and the order their rows are compressed in. NULL: never, as its rows are looked up by ids or for the last one at any age';
REVOKE ALL ON FUNCTION ops.big_tables() FROM PUBLIC;

CREATE FUNCTION ops.show_big(shown_place name, shown name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    base text := format('%I.%I', CASE WHEN to_regclass(format('big.%I', shown)) IS NULL THEN shown_place ELSE 'big' END, shown);
    is_big boolean := base LIKE 'big.%';
    -- the organization of a row stays: an upsert could else take a row of another organization, which it does not see
    columns text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                     WHERE attrelid = base::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'organization_id');
    made text;
    attribute record;
BEGIN
    FOREACH made IN ARRAY CASE WHEN is_big THEN ARRAY[format('own.%I', shown), format('%I.%I', shown_place, shown)]
                               ELSE ARRAY[format('own.%I', shown)] END LOOP
        IF is_big THEN
            -- of the owner and of administrators, to whom row-level security does not apply, the rows of all
            EXECUTE format(
                $view$
                CREATE OR REPLACE VIEW %s WITH (security_barrier = %s, check_option = local) AS
                SELECT * FROM %s
                WHERE organization_id = ANY (ARRAY(
                    SELECT v.organization_id FROM ops.session_organization AS v
                    UNION ALL
                    SELECT o.organization_id FROM core.organizations AS o
                    WHERE NOT row_security_active('core.organizations'::regclass::oid)))
                $view$,
                made, CASE WHEN made LIKE 'own.%' THEN 'false' ELSE 'true' END, base);
            EXECUTE format('REVOKE ALL ON %s FROM simsight_pipeline', made);
            EXECUTE format('GRANT SELECT, INSERT, DELETE, UPDATE (%s) ON %s TO simsight_pipeline', columns, made);
        ELSE
            EXECUTE format('CREATE OR REPLACE VIEW %s WITH (security_invoker = true) AS SELECT * FROM %s', made, base);
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO simsight_pipeline', made);
        END IF;
        -- the schema own is closed to these two: published views read its views for them
        EXECUTE format('GRANT SELECT ON %s TO simsight_api, simsight_downstream', made);
        EXECUTE format('COMMENT ON VIEW %s IS %L', made, obj_description(base::regclass, 'pg_class'));
        FOR attribute IN SELECT attname, col_description(attrelid, attnum) AS said FROM pg_attribute
                         WHERE attrelid = base::regclass AND attnum > 0 AND NOT attisdropped LOOP
            EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', made, attribute.attname, attribute.said);
        END LOOP;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ops.show_big(name, name) IS
    'Makes the views of a big table, by its schema of old and its name, and their grants; again after it got a column at its end';

CREATE FUNCTION ops.raise_barriers() RETURNS integer
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    published regclass;
    raised integer := 0;
BEGIN
    IF to_regclass('big.sim_usage') IS NULL THEN
        RETURN 0;
    END IF;
    FOR published IN
        SELECT DISTINCT r.ev_class::regclass
        FROM pg_depend AS d
        JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
        JOIN pg_class AS used ON d.refclassid = 'pg_class'::regclass AND used.oid = d.refobjid AND used.relnamespace = 'own'::regnamespace
        JOIN pg_class AS c ON c.oid = r.ev_class AND c.relkind = 'v' AND c.relnamespace <> 'own'::regnamespace
        -- these look up values for SIMs and organizations that row-level security has chosen, and no condition of a session reaches into a look-up
        WHERE r.ev_class::regclass::text <> ALL (ARRAY[
            'core.sims_v1', 'core.sim_newest', 'core.sim_last_quota', 'core.sim_last_connection', 'predictions.newest_forecasts'])
    LOOP
        EXECUTE format('ALTER VIEW %s SET (security_barrier = true)', published);
        raised := raised + 1;
    END LOOP;
    RETURN raised;
END
$$;
COMMENT ON FUNCTION ops.raise_barriers() IS
    'Makes barriers of the published views that list rows of big tables, where these have no row-level security; returns how many. To be called in the transaction that made a view';

CREATE FUNCTION ops.put_behind_views() RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    moved record;
BEGIN
    IF to_regclass('big.sim_usage') IS NOT NULL THEN
        RETURN false;
    END IF;
    FOR moved IN SELECT b.place, b.named, format('%I.%I', b.place, b.named) AS said FROM ops.big_tables() AS b LOOP
        EXECUTE format('DROP POLICY own_organization ON %s', moved.said);
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', moved.said);
        EXECUTE format('REVOKE ALL ON %s FROM simsight_pipeline, simsight_api, simsight_downstream', moved.said);
        EXECUTE format('ALTER TABLE %s SET SCHEMA big', moved.said);
        PERFORM ops.show_big(moved.place, moved.named);
    END LOOP;
    PERFORM ops.raise_barriers();
    RETURN true;
END
$$;
COMMENT ON FUNCTION ops.put_behind_views() IS
    'Moves the big tables to the schema big, takes row-level security from them and puts views in their place that hold the line; returns whether it had to';

CREATE FUNCTION ops.can_compress() RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')
        AND coalesce(current_setting('timescaledb.license', true) = 'timescale', false)
$$;
COMMENT ON FUNCTION ops.can_compress() IS 'Whether the server is TimescaleDB Community';
REVOKE ALL ON FUNCTION ops.show_big(name, name), ops.raise_barriers(), ops.put_behind_views(), ops.can_compress() FROM PUBLIC;

-- Compresses days that are final, a piece a transaction.
CREATE FUNCTION ops.compress_next(before date, done text[]) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    place name := (SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'timescaledb');
    kept record;
    chunk text;
    is_on boolean;
BEGIN
    IF NOT ops.can_compress() OR to_regclass('big.sim_usage') IS NULL THEN
        RETURN NULL;
    END IF;
    FOR kept IN SELECT b.named, b.in_order FROM ops.big_tables() AS b WHERE b.in_order IS NOT NULL LOOP
        -- the oldest chunk that is over, and not compressed or with rows that came since
        EXECUTE
            'SELECT format(''%I.%I'', c.chunk_schema, c.chunk_name) FROM timescaledb_information.chunks AS c'
            ' JOIN _timescaledb_catalog.chunk AS k ON k.schema_name = c.chunk_schema AND k.table_name = c.chunk_name'
            ' WHERE c.hypertable_schema = ''big'' AND c.hypertable_name = $1 AND c.range_end <= $2'
            ' AND (NOT c.is_compressed OR k.status & 8 <> 0) AND format(''%I.%I'', c.chunk_schema, c.chunk_name) <> ALL ($3)'
            ' ORDER BY c.range_end LIMIT 1'
            INTO chunk USING kept.named, before::timestamp AT TIME ZONE 'UTC', done;
        CONTINUE WHEN chunk IS NULL;
        EXECUTE 'SELECT compression_enabled FROM timescaledb_information.hypertables WHERE hypertable_schema = ''big'' AND hypertable_name = $1'
            INTO is_on USING kept.named;
        IF NOT is_on THEN
            -- by organization and not by SIM: rows of many SIMs in a batch take half the room
            EXECUTE format('ALTER TABLE big.%I SET (timescaledb.compress, timescaledb.compress_segmentby = ''organization_id'','
                           ' timescaledb.compress_orderby = %L)', kept.named, kept.in_order);
        END IF;
        EXECUTE format('SELECT %I.compress_chunk(%L::regclass, if_not_compressed => true)', place, chunk);
        RETURN chunk;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ops.compress_next(date, text[]) IS
    'Compresses one piece of a big table whose days all lie before a day, but for those done already, and names it; NULL: none is left, or the server has no compression';
REVOKE ALL ON FUNCTION ops.compress_next(date, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.compress_next(date, text[]) TO simsight_pipeline;

SELECT ops.show_big(b.place, b.named) FROM ops.big_tables() AS b;

-- A barrier hides from the planner that an index ends with the newest row. So each of these has one look-up a SIM, or an organization, of the
-- session: row-level security chooses these, and no condition of a session reaches into a look-up.
CREATE VIEW core.sim_newest WITH (security_invoker = true) AS
SELECT
    s.organization_id,
    s.sim_key,
    s.iccid,
    (SELECT max(u.day) FROM own.sim_usage AS u WHERE u.sim_key = s.sim_key) AS usage_day,
    (SELECT max(f.as_of) FROM own.usage_forecasts AS f WHERE f.sim_key = s.sim_key) AS forecast_as_of
FROM core.sims AS s;
COMMENT ON VIEW core.sim_newest IS 'One row a SIM: its newest day with usage and its newest as-of day of a forecast, NULL where it has none. Indexes: primary keys';

CREATE VIEW core.sim_last_quota WITH (security_invoker = true) AS
SELECT s.organization_id, s.sim_key, s.iccid, q.day, q.amount_left, q.amount_total
FROM core.sims AS s
CROSS JOIN LATERAL (
    SELECT l.day, l.amount_left, l.amount_total FROM own.sim_quota AS l
    WHERE l.sim_key = s.sim_key AND l.kind = 'data' ORDER BY l.day DESC LIMIT 1
) AS q;
COMMENT ON VIEW core.sim_last_quota IS 'One row a SIM whose data quota was ever looked at: the last look, in bytes (millionths of a MB). Index: primary key';

CREATE VIEW core.sim_last_connection WITH (security_invoker = true) AS
SELECT s.organization_id, s.sim_key, s.iccid, c.day, c.observed_at, c.status, c.operator, c.country, c.rat_type
FROM core.sims AS s
CROSS JOIN LATERAL (
    SELECT l.day, l.observed_at, l.status, l.operator, l.country, l.rat_type FROM own.sim_connectivity AS l
    WHERE l.sim_key = s.sim_key ORDER BY l.day DESC LIMIT 1
) AS c;
COMMENT ON VIEW core.sim_last_connection IS 'One row a SIM that was ever seen: where it was last. Index: primary key';
GRANT SELECT ON core.sim_newest, core.sim_last_quota, core.sim_last_connection TO simsight_pipeline, simsight_api;

CREATE VIEW predictions.newest_forecasts WITH (security_invoker = true) AS
SELECT
    o.organization_id,
    (SELECT max(f.as_of) FROM own.usage_forecasts AS f WHERE f.organization_id = o.organization_id) AS as_of
FROM core.organizations AS o;
COMMENT ON VIEW predictions.newest_forecasts IS 'One row an organization: the newest as-of day of usage forecasts, NULL without any. Index usage_forecasts_by_as_of';
GRANT SELECT ON predictions.newest_forecasts TO simsight_pipeline, simsight_api;
