-- Keeps what the watch saw as of %(now)s. The newest usage day is looked for among the last days first, and 60 days back at most.
-- Index sim_usage_by_day, chunk exclusion.
INSERT INTO ops.pipeline_watch AS w
    (organization_id, seen_at, newest_usage_day, requests_per_hour, failed_checks, failed_blocking_checks, runs)
SELECT (SELECT ops.current_organization()), %(now)s,
       coalesce(
           (SELECT max(day) FROM core.sim_usage WHERE day > %(now)s::date - 3),
           (SELECT max(day) FROM core.sim_usage WHERE day > %(now)s::date - 60)
       ), %(requests_per_hour)s, %(failed_checks)s, %(failed_blocking_checks)s, %(runs)s::jsonb
ON CONFLICT (organization_id) DO UPDATE SET
    seen_at = excluded.seen_at, newest_usage_day = excluded.newest_usage_day, requests_per_hour = excluded.requests_per_hour,
    failed_checks = excluded.failed_checks, failed_blocking_checks = excluded.failed_blocking_checks, runs = excluded.runs;
