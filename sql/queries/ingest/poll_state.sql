-- What the poll planner knows of every SIM at %(now)s: services.ingest.poll_planner.STATE_SCHEMA, one row a SIM.
-- Indexes: polls_pkey, exhaustions_by_as_of, alerts_one_open, sim_usage_by_day, and the chunks of two days of the stream.
WITH asked AS (
    SELECT sim_key,
           max(polled_at) FILTER (WHERE source = 'usage') AS usage_at,
           max(polled_at) FILTER (WHERE source = 'quota') AS quota_at,
           max(polled_at) FILTER (WHERE source = 'status') AS status_at,
           max(polled_at) FILTER (WHERE source = 'events') AS events_at,
           max(polled_at) FILTER (WHERE source = 'sms') AS sms_at,
           -- of both: NULL as long as one is missing
           CASE WHEN count(answered_at) FILTER (WHERE source IN ('usage', 'quota')) = 2
                THEN min(answered_at) FILTER (WHERE source IN ('usage', 'quota')) END AS answered_at,
           bool_or(problem IN ('OnceSimExpiredError', 'OnceNotFoundError', 'OnceForbiddenError')
                   AND source IN ('usage', 'quota')) AS refused
    FROM ops.polls GROUP BY sim_key
), ending AS (
    SELECT sim_key, p_14, status IN ('exhausted', 'expired') AS exhausted
    FROM predictions.exhaustions WHERE as_of = (SELECT max(as_of) FROM predictions.exhaustions)
), streamed AS (
    SELECT sim_key, max(known_at) AS streamed_at FROM core.stream_usage
    WHERE day >= (%(now)s AT TIME ZONE 'UTC')::date - 1 GROUP BY sim_key
), alerting AS (
    SELECT DISTINCT sim_key FROM predictions.alerts WHERE closed_at IS NULL
), active AS (
    SELECT DISTINCT sim_key FROM core.sim_usage WHERE day >= (%(now)s AT TIME ZONE 'UTC')::date - 8 AND bytes > 0
)
SELECT s.sim_key, a.usage_at, a.quota_at, a.status_at, a.events_at, a.sms_at, a.answered_at, s.changed_at, t.streamed_at,
       s.quota_status, e.p_14, e.exhausted, coalesce(a.refused, false) AS refused, l.sim_key IS NOT NULL AS alerting,
       c.sim_key IS NOT NULL AS active
FROM core.sims AS s
LEFT JOIN asked AS a USING (sim_key)
LEFT JOIN ending AS e USING (sim_key)
LEFT JOIN streamed AS t USING (sim_key)
LEFT JOIN alerting AS l USING (sim_key)
LEFT JOIN active AS c USING (sim_key)
ORDER BY s.sim_key;
