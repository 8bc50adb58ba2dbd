-- One row a SIM with a key of the block, with what its state is derived from, known up to %(now)s; as_of date is the last complete usage day, lateness
-- integer the days until a day's usage is complete. Amounts in bytes. Indexes: the primary keys, read from their newest end.
WITH said AS (  -- what 1NCE last said of it; a call that merely failed says nothing
    SELECT DISTINCT ON (sim_key) sim_key, (polled_at AT TIME ZONE 'UTC')::date AS last_word_on,
           CASE problem WHEN 'OnceSimExpiredError' THEN 'expired' WHEN 'OnceNotFoundError' THEN 'unknown'
                        WHEN 'OnceForbiddenError' THEN 'unknown' ELSE 'answered' END AS last_word
    FROM ops.polls
    WHERE sim_key BETWEEN %(first_key)s AND %(last_key)s AND polled_at <= %(now)s
        AND (problem IS NULL OR problem IN ('OnceSimExpiredError', 'OnceNotFoundError', 'OnceForbiddenError'))
    ORDER BY sim_key, polled_at DESC
), ordered AS (
    SELECT DISTINCT ON (i.iccid) i.iccid, o.order_number, o.ordered_at
    FROM core.orders AS o CROSS JOIN LATERAL unnest(o.iccids) AS i (iccid)
    JOIN core.sims AS s ON s.iccid = i.iccid
    WHERE s.sim_key BETWEEN %(first_key)s AND %(last_key)s AND o.order_type IN ('FIRST_ORDER', 'ADDITIONAL_ORDER') AND o.ordered_at <= %(now)s
    ORDER BY i.iccid, o.ordered_at
), listed AS (
    SELECT max(started_at) AS at FROM ops.sweeps WHERE source = 'sims' AND finished_at <= %(now)s
)
SELECT s.sim_key, o.order_number, (o.ordered_at AT TIME ZONE 'UTC')::date AS ordered_on,
       (s.first_seen_at AT TIME ZONE 'UTC')::date AS listed_on,
       (s.activated_at AT TIME ZONE 'UTC')::date AS activated_on,
       -- the listed status is today's: the first change after now says what it was then
       CASE WHEN n.was_off THEN (coalesce(d.at, %(now)s) AT TIME ZONE 'UTC')::date
            WHEN n.was_off IS NULL AND s.status = 'Disabled' THEN (coalesce(d.at, s.changed_at) AT TIME ZONE 'UTC')::date
       END AS disabled_on,
       CASE WHEN s.unlisted_at <= %(now)s::timestamptz - interval '1 day' THEN (s.unlisted_at AT TIME ZONE 'UTC')::date END AS unlisted_on,
       CASE WHEN x.by_quota THEN q.amount_left END AS quota_left,
       CASE WHEN x.by_quota THEN q.amount_total END AS quota_total,
       CASE WHEN x.by_quota AND q.amount_left <= 0
                THEN (coalesce(q.status_changed_at, q.observed_at) AT TIME ZONE 'UTC')::date
            WHEN NOT x.by_quota AND s.quota_status = 2
                THEN (greatest(s.changed_at, q.observed_at) AT TIME ZONE 'UTC')::date
       END AS exhausted_on,
       q.expires_at, w.last_word, w.last_word_on,
       least(greatest(p.covered_to - %(lateness)s::integer, b.day), %(as_of)s::date) AS usage_known_to,
       (f.at AT TIME ZONE 'UTC')::date AS network_first_on,
       (greatest(e.at, c.at) AT TIME ZONE 'UTC')::date AS network_last_on
FROM core.sims AS s
CROSS JOIN listed AS l
LEFT JOIN said AS w ON w.sim_key = s.sim_key
LEFT JOIN ordered AS o ON o.iccid = s.iccid
LEFT JOIN ops.polls AS p ON p.sim_key = s.sim_key AND p.source = 'usage'
LEFT JOIN core.sim_states AS t ON t.sim_key = s.sim_key
LEFT JOIN LATERAL (  -- a day of the stream or of a quota is in the book when it is known
    SELECT day FROM own.sim_usage
    WHERE sim_key = s.sim_key AND source IN ('s', 'q') AND day <= %(as_of)s AND day > %(as_of)s::date - 60
    ORDER BY day DESC LIMIT 1
) AS b ON true
LEFT JOIN LATERAL (
    SELECT amount_left, amount_total, expires_at, observed_at, status_changed_at FROM own.sim_quota
    WHERE sim_key = s.sim_key AND kind = 'data' AND day <= (%(now)s::timestamptz AT TIME ZONE 'UTC')::date
        AND observed_at <= %(now)s
    ORDER BY day DESC LIMIT 1
) AS q ON true
-- the SIM list knows no amount; its word counts where it is the newer one
CROSS JOIN LATERAL (SELECT coalesce(q.observed_at >= l.at, q.observed_at IS NOT NULL) AS by_quota) AS x
LEFT JOIN LATERAL (  -- a network is named by what a network saw
    SELECT occurred_at AS at FROM own.sim_events
    WHERE sim_key = s.sim_key AND occurred_at <= %(now)s AND (country IS NOT NULL OR operator IS NOT NULL)
    ORDER BY occurred_at DESC LIMIT 1
) AS e ON true
LEFT JOIN LATERAL (  -- of use for a SIM without a history only
    SELECT occurred_at AS at FROM own.sim_events
    WHERE t.sim_key IS NULL AND sim_key = s.sim_key AND occurred_at <= %(now)s
        AND (country IS NOT NULL OR operator IS NOT NULL)
    ORDER BY occurred_at LIMIT 1
) AS f ON true
LEFT JOIN LATERAL (
    SELECT located_at AS at FROM own.sim_connectivity
    WHERE sim_key = s.sim_key AND day <= (%(now)s::timestamptz AT TIME ZONE 'UTC')::date AND located_at <= %(now)s
    ORDER BY day DESC LIMIT 1
) AS c ON true
LEFT JOIN LATERAL (
    SELECT event_type ~* 'SIM changed from ''?(suspended|disabled|deactivated)' AS was_off FROM own.sim_events
    WHERE sim_key = s.sim_key AND occurred_at > %(now)s AND event_type ~* 'SIM changed from .* to '
    ORDER BY occurred_at LIMIT 1
) AS n ON true
LEFT JOIN LATERAL (
    SELECT max(occurred_at) AS at FROM own.sim_events
    WHERE coalesce(n.was_off, s.status = 'Disabled') AND sim_key = s.sim_key AND occurred_at <= %(now)s
        AND event_type ~* 'SIM changed from .* to ''?(suspended|disabled|deactivated)'
) AS d ON true
WHERE s.sim_key BETWEEN %(first_key)s AND %(last_key)s AND (least(s.first_seen_at, s.activated_at) <= %(now)s OR t.sim_key IS NOT NULL)
ORDER BY s.sim_key;
