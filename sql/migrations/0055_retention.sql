-- Rows of days that are kept long enough are deleted, a piece a transaction: a chunk at a time where there are chunks, else a batch of rows.
SET LOCAL ROLE simsight_owner;

CREATE FUNCTION ops.kept_tables(kind text) RETURNS TABLE (place name, named name, time_column name)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN to_regclass('big.' || quote_ident(v.named)) IS NULL THEN v.place ELSE 'big' END, v.named, v.time_column
    FROM (VALUES
        ('usage', 'core'::name, 'sim_usage'::name, 'day'::name),
        ('usage', 'core', 'sim_usage_replaced', 'day'),
        ('usage', 'core', 'sim_quota', 'day'),
        ('usage', 'core', 'sim_connectivity', 'day'),
        ('usage', 'core', 'sim_events', 'occurred_at'),
        ('usage', 'core', 'sim_sms', 'submitted_at'),
        ('usage', 'core', 'stream_usage', 'day'),
        ('predictions', 'predictions', 'usage_forecasts', 'as_of'),
        ('predictions', 'predictions', 'exhaustions', 'as_of'),
        ('predictions', 'predictions', 'churn_risks', 'as_of')
    ) AS v (kind, place, named, time_column)
    WHERE v.kind = kept_tables.kind
$$;
COMMENT ON FUNCTION ops.kept_tables(text) IS
    'The tables that SIMSIGHT_USAGE_DAYS (kind usage) and SIMSIGHT_PREDICTION_DAYS (predictions) are about: the schema they stand in today, and the column that says how old a row is';

CREATE FUNCTION ops.purge_next(kind text, before date, most integer, OUT named text, OUT rows bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ours smallint := (SELECT ops.current_organization());
    place name := (SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'timescaledb');
    kept record;
    piece record;
    at_zero timestamptz := before::timestamp AT TIME ZONE 'UTC';
    -- a text that is the same day or moment in every time zone of a session
    form CONSTANT text := 'YYYY-MM-DD HH24:MI:SS+00';
    low text;
    high text;
    has_ours boolean;
    has_others boolean;
    is_in text;
BEGIN
    IF ours IS NULL OR before IS NULL THEN
        RAISE EXCEPTION 'purge_next needs an organization and a day';
    END IF;
    FOR kept IN
        SELECT t.*, format('%I.%I', t.place, t.named)::regclass AS said, a.atttypid::regtype::text AS type
        FROM ops.kept_tables(kind) AS t
        JOIN pg_attribute AS a ON a.attrelid = format('%I.%I', t.place, t.named)::regclass AND a.attname = t.time_column
    LOOP
        named := kept.said::text;
        IF NOT ops.is_hypertable(kept.said) THEN
            EXECUTE format('DELETE FROM %s WHERE ctid = ANY (ARRAY(SELECT ctid FROM %1$s WHERE organization_id = $1 AND %I < %L::%s LIMIT $2))',
                           kept.said, kept.time_column, to_char(at_zero AT TIME ZONE 'UTC', form), kept.type)
                USING ours, most;
            GET DIAGNOSTICS rows = ROW_COUNT;
            IF rows > 0 THEN
                RETURN;
            END IF;
            CONTINUE;
        END IF;
        -- chunks that are over as a whole, the oldest first: rows of a chunk that only begins before the day stay with it
        FOR piece IN EXECUTE
            'SELECT chunk_schema, chunk_name, range_start, range_end FROM timescaledb_information.chunks'
            ' WHERE hypertable_schema = $1 AND hypertable_name = $2 AND range_end <= $3 ORDER BY range_end'
            USING kept.place, kept.named, at_zero
        LOOP
            low := to_char(piece.range_start AT TIME ZONE 'UTC', form);
            high := to_char(piece.range_end AT TIME ZONE 'UTC', form);
            is_in := format('%I >= %L::%s AND %1$I < %4$L::%3$s', kept.time_column, low, kept.type, high);
            EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE %s AND organization_id = $1)', kept.said, is_in) INTO has_ours USING ours;
            EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE %s AND organization_id <> $1)', kept.said, is_in) INTO has_others USING ours;
            CONTINUE WHEN has_others AND NOT has_ours;
            IF has_others THEN
                EXECUTE format('DELETE FROM %s WHERE %s AND organization_id = $1', kept.said, is_in) USING ours;
                GET DIAGNOSTICS rows = ROW_COUNT;
                RETURN;
            END IF;
            -- nobody writes into it until it is gone; who wrote meanwhile is asked for again
            EXECUTE format('LOCK TABLE %I.%I IN SHARE ROW EXCLUSIVE MODE', piece.chunk_schema, piece.chunk_name);
            EXECUTE format('SELECT count(*) FILTER (WHERE organization_id = $1), count(*) FILTER (WHERE organization_id <> $1) > 0 FROM %s WHERE %s',
                           kept.said, is_in) INTO rows, has_others USING ours;
            CONTINUE WHEN has_others;
            EXECUTE format('SELECT %I.drop_chunks(%L::regclass, older_than => %L::%s, newer_than => %L::%4$s)', place, kept.said, high,
                           kept.type, low);
            RETURN;
        END LOOP;
    END LOOP;
    named := NULL;
    rows := 0;
END
$$;
COMMENT ON FUNCTION ops.purge_next(text, date, integer) IS
    'Deletes one piece of what the organization of the session has from before a day, in the tables of a kind (ops.kept_tables): a chunk, or at most so many rows; named is NULL when none is left. Chunks that hold rows of others stay';
REVOKE ALL ON FUNCTION ops.kept_tables(text), ops.purge_next(text, date, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.purge_next(text, date, integer) TO simsight_pipeline;
