-- How the pipeline is doing, for monitoring: what its watch sees once a minute, what was asked of 1NCE, and all figures of /metrics at once.
SET LOCAL ROLE simsight_owner;

CREATE TABLE ops.pipeline_watch (
    organization_id smallint PRIMARY KEY REFERENCES core.organizations,
    seen_at timestamptz NOT NULL,
    newest_usage_day date,
    requests_per_hour double precision,
    failed_checks integer NOT NULL,
    failed_blocking_checks integer NOT NULL,
    runs jsonb NOT NULL CHECK (jsonb_typeof(runs) = 'object')
);
COMMENT ON TABLE ops.pipeline_watch IS 'One row an organization: what the watch of its pipeline saw last, once a minute';
COMMENT ON COLUMN ops.pipeline_watch.organization_id IS 'Organization';
COMMENT ON COLUMN ops.pipeline_watch.seen_at IS 'When it looked (UTC): an old value says that the daemon does not run';
COMMENT ON COLUMN ops.pipeline_watch.newest_usage_day IS 'Newest usage day of the last 60; NULL: none';
COMMENT ON COLUMN ops.pipeline_watch.requests_per_hour IS 'Requests about SIMs that the settings allow an hourly ingest; NULL: no limit';
COMMENT ON COLUMN ops.pipeline_watch.failed_checks IS 'Asset checks whose last execution failed, without those that stop what follows';
COMMENT ON COLUMN ops.pipeline_watch.failed_blocking_checks IS 'Asset checks that stop what follows whose last execution failed';
COMMENT ON COLUMN ops.pipeline_watch.runs IS 'Runs under way by job: how many, and since when the oldest (Unix time), such as {"ingest": [1, 1768046400]}';
SELECT ops.guard('ops.pipeline_watch', api_reads => false);

CREATE TABLE ops.once_use (
    organization_id smallint PRIMARY KEY REFERENCES core.organizations,
    requests bigint NOT NULL,
    retries bigint NOT NULL,
    throttled bigint NOT NULL,
    reauthentications bigint NOT NULL,
    breaker_open boolean NOT NULL,
    changed_at timestamptz NOT NULL
);
COMMENT ON TABLE ops.once_use IS 'One row an organization: what its ingest runs asked of 1NCE in all; figures only rise';
COMMENT ON COLUMN ops.once_use.organization_id IS 'Organization';
COMMENT ON COLUMN ops.once_use.requests IS 'Requests sent, with log-ins and retries';
COMMENT ON COLUMN ops.once_use.retries IS 'Of these, repeated ones';
COMMENT ON COLUMN ops.once_use.throttled IS 'Answers 429: too many requests';
COMMENT ON COLUMN ops.once_use.reauthentications IS 'Log-ins because a token was refused before its time';
COMMENT ON COLUMN ops.once_use.breaker_open IS 'Whether the last client ended with its circuit breaker open: 1NCE did not answer';
COMMENT ON COLUMN ops.once_use.changed_at IS 'When it last changed (UTC)';
SELECT ops.guard('ops.once_use', api_reads => false);

-- Figures only: names of organizations, calls, jobs and models, and numbers. In PL/pgSQL, which looks for the tables when it runs.
CREATE FUNCTION ops.metrics() RETURNS TABLE (metric text, organization text, label text, value double precision)
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
    FROM pg_stat_archiver AS a, LATERAL (VALUES
        ('connections', NULL, (SELECT sum(numbackends) FROM pg_stat_database)::double precision),
        ('connections_max', NULL, current_setting('max_connections')::double precision),
        ('database_bytes', NULL, pg_database_size(current_database())::double precision),
        ('wal_archiving', NULL, (current_setting('archive_mode') <> 'off')::integer),
        ('wal_archived', NULL, extract(epoch FROM a.last_archived_time)::double precision),
        ('wal_failed', NULL, a.failed_count)
    ) AS d (metric, label, value)
    WHERE d.value IS NOT NULL;

    RETURN QUERY
    SELECT 'backup', NULL::text, b.kind, extract(epoch FROM max(b.finished_at))::double precision
    FROM ops.backups AS b
    WHERE b.verified AND b.removed_at IS NULL
    GROUP BY b.kind;
END
$$;
COMMENT ON FUNCTION ops.metrics() IS
    'Figures of all organizations for monitoring: metric, slug of the organization (NULL: of the server), a label, value. No SIM, no secret, no person';
REVOKE ALL ON FUNCTION ops.metrics() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.metrics() TO simsight_api;
