-- The log of a server of one's own is received by `simsight backup keep`, and watched like that of the embedded server.
SET LOCAL ROLE simsight_owner;

CREATE TABLE ops.log_archives (
    slot text PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    switched_at timestamptz NOT NULL,
    archived_at timestamptz
);
COMMENT ON TABLE ops.log_archives IS 'One row, of the whole server, where its write-ahead log is received for backups';
COMMENT ON COLUMN ops.log_archives.slot IS 'Slot of replication that the log is received from';
COMMENT ON COLUMN ops.log_archives.since IS 'When it was first received (UTC)';
COMMENT ON COLUMN ops.log_archives.switched_at IS 'When a file of the log was last ended (UTC)';
COMMENT ON COLUMN ops.log_archives.archived_at IS 'Time (UTC) up to which the archive holds every write; NULL: nothing was archived yet';
GRANT SELECT ON ops.log_archives TO simsight_pipeline;

CREATE OR REPLACE FUNCTION ops.metrics() RETURNS TABLE (metric text, organization text, label text, value double precision)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
    WITH figures (metric, organization_id, label, value) AS (
        SELECT 'sims', s.organization_id, NULL, count(*)::double precision FROM core.sims AS s GROUP BY 2
        UNION ALL
        SELECT w.metric, p.organization_id, NULL, w.value
        FROM ops.pipeline_watch AS p, LATERAL (VALUES
            ('pipeline_seen', extract(epoch FROM p.seen_at)::double precision),
            -- a day is known when it has ended
            ('usage_newest', extract(epoch FROM (p.newest_usage_day + 1)::timestamp AT TIME ZONE 'UTC')::double precision),
            ('once_budget', p.requests_per_hour)
        ) AS w (metric, value)
        UNION ALL
        SELECT 'checks_failed', p.organization_id, c.blocking, c.failed::double precision
        FROM ops.pipeline_watch AS p,
            LATERAL (VALUES ('true', p.failed_blocking_checks), ('false', p.failed_checks)) AS c (blocking, failed)
        UNION ALL
        SELECT r.metric, p.organization_id, j.job, r.value
        FROM ops.pipeline_watch AS p, LATERAL jsonb_each(p.runs) AS j (job, run),
            LATERAL (VALUES ('runs', (j.run ->> 0)::double precision), ('run_oldest', (j.run ->> 1)::double precision)) AS r (metric, value)
        UNION ALL
        SELECT 'runs_failed', f.organization_id, f.job, count(*)::double precision
        FROM ops.run_failures AS f WHERE f.failed_at > now() - interval '1 day' GROUP BY 2, 3
        UNION ALL
        SELECT 'ingest_finished', o.organization_id, c.call, extract(epoch FROM latest.finished_at)::double precision
        FROM core.organizations AS o
        JOIN (SELECT DISTINCT oc.organization_id, oc.call FROM ops.once_calls AS oc WHERE oc.gone_since IS NULL) AS c USING (organization_id)
        CROSS JOIN LATERAL (
            SELECT w.finished_at FROM ops.sweeps AS w
            WHERE w.organization_id = o.organization_id AND w.source = c.call AND w.finished_at IS NOT NULL
            ORDER BY w.started_at DESC LIMIT 1
        ) AS latest
        UNION ALL
        SELECT d.metric, r.organization_id, NULL, d.value
        FROM (
            SELECT p.organization_id, max(p.created_at) AS made_at, max(p.as_of) AS as_of FROM predictions.reports AS p GROUP BY 1
        ) AS r, LATERAL (VALUES
            ('daily_run', extract(epoch FROM r.made_at)::double precision),
            ('report_as_of', extract(epoch FROM r.as_of::timestamp AT TIME ZONE 'UTC')::double precision)
        ) AS d (metric, value)
        UNION ALL
        SELECT u.metric, o.organization_id, NULL, u.value
        FROM ops.once_use AS o, LATERAL (VALUES
            ('once_requests', o.requests), ('once_retries', o.retries), ('once_throttled', o.throttled),
            ('once_reauthentications', o.reauthentications), ('once_breaker', o.breaker_open::integer)
        ) AS u (metric, value)
        UNION ALL
        SELECT 'incidents', i.organization_id, i.kind, count(*)::double precision
        FROM ops.incidents AS i WHERE i.closed_at IS NULL GROUP BY 2, 3
        UNION ALL
        SELECT 'stream_arrival', s.organization_id, NULL, extract(epoch FROM max(b.last_at))::double precision
        FROM ops.streams AS s
        CROSS JOIN LATERAL (
            SELECT max(received_at) AS last_at FROM raw.stream_batches
            WHERE organization_id = s.organization_id AND stream_id = s.stream_id
        ) AS b
        WHERE s.revoked_at IS NULL GROUP BY 2
        UNION ALL
        SELECT 'stream_waiting', b.organization_id, NULL, count(*)::double precision
        FROM raw.stream_batches AS b WHERE b.processed_at IS NULL GROUP BY 2
        UNION ALL
        SELECT d.metric, f.organization_id, NULL, d.value
        FROM (
            -- the three newest days, as the check of drift looks at them
            SELECT s.organization_id,
                   sum(s.error * s.n) / nullif(sum(s.baseline_error * s.n), 0) AS ratio,
                   sum(s.coverage_80 * s.n) / nullif(sum(s.n), 0) AS coverage
            FROM (
                SELECT organization_id AS id, max(day) AS day FROM predictions.forecast_scores
                WHERE horizon = '1-7' GROUP BY 1
            ) AS newest
            JOIN predictions.forecast_scores AS s ON s.organization_id = newest.id AND s.day > newest.day - 3
            WHERE s.horizon = '1-7' AND s.model_name = 'usage-forecaster'
            GROUP BY 1
        ) AS f, LATERAL (VALUES ('forecast_ratio', f.ratio), ('forecast_coverage', f.coverage)) AS d (metric, value)
        UNION ALL
        SELECT 'model_trained', b.organization_id, b.model_name, extract(epoch FROM max(b.created_at))::double precision
        FROM predictions.backtests AS b GROUP BY 2, 3
        UNION ALL
        SELECT 'alerts', a.organization_id, a.severity, count(*)::double precision
        FROM predictions.alerts AS a WHERE a.closed_at IS NULL GROUP BY 2, 3
        UNION ALL
        SELECT 'messages_undelivered', n.organization_id, n.state, count(*)::double precision
        FROM ops.notifications AS n WHERE n.state IN ('dead', 'unknown') AND n.created_at > now() - interval '1 day' GROUP BY 2, 3
        UNION ALL
        SELECT 'message_oldest', n.organization_id, NULL, extract(epoch FROM min(n.created_at))::double precision
        FROM ops.notifications AS n JOIN ops.channels AS c USING (channel_id)
        WHERE n.state IN ('pending', 'sending') AND n.next_attempt_at <= now() AND c.deleted_at IS NULL GROUP BY 2
        UNION ALL
        SELECT 'channels_disabled', c.organization_id, NULL, count(*)::double precision
        FROM ops.channels AS c WHERE c.deleted_at IS NULL AND c.parked_at IS NOT NULL GROUP BY 2
        UNION ALL
        SELECT 'quarantined', q.organization_id, NULL, count(*)::double precision
        FROM ops.quarantine AS q WHERE q.resolved_at IS NULL GROUP BY 2
    )
    SELECT f.metric, o.slug, f.label, f.value
    FROM figures AS f JOIN core.organizations AS o USING (organization_id) WHERE f.value IS NOT NULL;

    RETURN QUERY
    SELECT d.metric, NULL::text, d.label, d.value
    FROM pg_stat_archiver AS a
    CROSS JOIN (
        SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'simsight_backup') AS received,
            (SELECT max(archived_at) FROM ops.log_archives WHERE slot = 'simsight_backup') AS archived_at
    ) AS l,
    LATERAL (VALUES
        ('connections', NULL, (SELECT sum(numbackends) FROM pg_stat_database)::double precision),
        ('connections_max', NULL, current_setting('max_connections')::double precision),
        ('database_bytes', NULL, pg_database_size(current_database())::double precision),
        ('wal_archiving', NULL, (l.received OR current_setting('archive_mode') <> 'off')::integer),
        ('wal_archived', NULL, extract(epoch FROM CASE WHEN l.received THEN l.archived_at ELSE a.last_archived_time END)::double precision),
        ('wal_failed', NULL, a.failed_count)
    ) AS d (metric, label, value)
    WHERE d.value IS NOT NULL;

    RETURN QUERY
    SELECT 'backup', NULL::text, b.kind, extract(epoch FROM max(b.finished_at))::double precision
    FROM ops.backups AS b
    WHERE b.verified AND b.removed_at IS NULL
    GROUP BY b.kind
    UNION ALL
    -- backups that were to be kept and never made are late too
    SELECT 'backup', NULL::text, 'none', extract(epoch FROM min(l.since))::double precision FROM ops.log_archives AS l
    HAVING min(l.since) IS NOT NULL;
END
$$;

-- Which chunk a row of TimescaleDB's catalog is about: by schema and name up to 2.28, by the table itself from 2.29 on.
CREATE FUNCTION ops.chunk_table(chunk jsonb) RETURNS regclass
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT to_regclass(coalesce(chunk ->> 'relid', format('%I.%I', chunk ->> 'schema_name', chunk ->> 'table_name')))
$$;
COMMENT ON FUNCTION ops.chunk_table(jsonb) IS 'The table of a row of _timescaledb_catalog.chunk, in the form of any version of TimescaleDB';
REVOKE ALL ON FUNCTION ops.chunk_table(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.chunk_table(jsonb) TO simsight_pipeline;

CREATE OR REPLACE FUNCTION ops.compress_next(before date, done text[]) RETURNS text
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
            ' JOIN _timescaledb_catalog.chunk AS k ON ops.chunk_table(to_jsonb(k)) = format(''%I.%I'', c.chunk_schema, c.chunk_name)::regclass'
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
