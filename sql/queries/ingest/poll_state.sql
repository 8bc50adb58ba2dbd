-- What the poll planner knows of every SIM at %(now)s: services.ingest.poll_planner.STATE_SCHEMA, one row a SIM.
-- learn_days: a SIM known for less is not called steady. no_usage_call: no version of the API that may be asked has a usage call that answers.
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
           max(answered_at) FILTER (WHERE source = 'quota') AS looked_at,
           max(answered_at) FILTER (WHERE source = 'usage') AS used_at,
           bool_or(problem IN ('OnceSimExpiredError', 'OnceNotFoundError', 'OnceForbiddenError')
                   AND source = 'usage') AS usage_refused,
           bool_or(problem IN ('OnceSimExpiredError', 'OnceNotFoundError', 'OnceForbiddenError')
                   AND source = 'quota') AS quota_refused,
           -- v1 does not know a Platform 2.0 SIM; it is asked again once a week, should that have been a mistake
           bool_or(source = 'usage' AND problem = 'OnceNotOnV1Error'
                   AND polled_at > %(now)s::timestamptz - interval '7 days') AS not_on_v1
    FROM ops.polls GROUP BY sim_key
), retired AS (
    SELECT checked_at <= %(now)s::timestamptz - interval '1 day' AS due FROM ops.once_calls
    WHERE call = 'usage' AND version = 'v1' AND gone_since IS NOT NULL
), probe AS (
    -- one SIM learns every day whether a call that is gone answers again
    SELECT sim_key FROM core.sims LEFT JOIN asked USING (sim_key) WHERE (SELECT due FROM retired)
    ORDER BY used_at IS NULL, sim_key LIMIT 1
), gone AS (
    SELECT sim_key FROM core.sims LEFT JOIN asked USING (sim_key)
    WHERE coalesce(not_on_v1, false) OR EXISTS (SELECT FROM retired) OR %(no_usage_call)s
    EXCEPT SELECT sim_key FROM probe
), ending AS (
    SELECT sim_key, p_14, p_30, status IN ('exhausted', 'expired') AS exhausted
    FROM predictions.exhaustions WHERE as_of = (SELECT max(as_of) FROM predictions.exhaustions)
), streamed AS (
    SELECT sim_key, max(known_at) AS streamed_at FROM own.stream_usage
    WHERE day >= (%(now)s AT TIME ZONE 'UTC')::date - 1 GROUP BY sim_key
), alerting AS (
    SELECT DISTINCT sim_key FROM predictions.alerts WHERE closed_at IS NULL
), active AS (
    SELECT sim_key FROM own.sim_usage WHERE day >= (%(now)s AT TIME ZONE 'UTC')::date - 8 AND bytes > 0
    -- without a usage call its traffic may not be known yet
    UNION SELECT sim_key FROM own.sim_connectivity
    WHERE day >= (%(now)s AT TIME ZONE 'UTC')::date - 8 AND status = 'ONLINE' AND sim_key IN (SELECT sim_key FROM gone)
), steady AS (
    -- of days spread over the stretch between two looks, a change between two stretches shows
    SELECT sim_key,
           count(*) >= 7 AND max(bytes) <= 2 * avg(bytes)
           AND (SELECT min(day) FROM own.sim_usage AS b WHERE b.sim_key = u.sim_key)
               <= (%(now)s AT TIME ZONE 'UTC')::date - %(learn_days)s::integer AS steady
    FROM own.sim_usage AS u
    WHERE day BETWEEN (%(now)s AT TIME ZONE 'UTC')::date - 21 AND (%(now)s AT TIME ZONE 'UTC')::date - 1
      AND sim_key IN (SELECT sim_key FROM gone)
    GROUP BY sim_key
)
SELECT s.sim_key, a.usage_at, a.quota_at, a.status_at, a.events_at, a.sms_at, a.answered_at, s.changed_at, t.streamed_at,
       s.quota_status, e.p_14, e.p_30, e.exhausted,
       coalesce(a.quota_refused, false) OR (g.sim_key IS NULL AND coalesce(a.usage_refused, false)) AS refused,
       l.sim_key IS NOT NULL AS alerting, c.sim_key IS NOT NULL AS active, y.steady, g.sim_key IS NOT NULL AS call_gone,
       a.looked_at
FROM core.sims AS s
LEFT JOIN asked AS a USING (sim_key)
LEFT JOIN ending AS e USING (sim_key)
LEFT JOIN streamed AS t USING (sim_key)
LEFT JOIN alerting AS l USING (sim_key)
LEFT JOIN active AS c USING (sim_key)
LEFT JOIN steady AS y USING (sim_key)
LEFT JOIN gone AS g USING (sim_key)
ORDER BY s.sim_key;
