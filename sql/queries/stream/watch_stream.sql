-- Opens, keeps and closes the incident stream_outage as of %(now)s; one row: the open one's id (NULL: none), and what was done.
-- A live stream is silent when it brought something in the last week and then nothing for longer than an hour, ten times its usual
-- largest gap and the same at most three days. The usual largest gap is the median over the days of the week before its last
-- arrival, in slots of ten minutes, so that a busy stream is looked at in as many steps as a quiet one. With arrivals in fewer than
-- three slots nothing is usual yet. An outage ends when each of its streams has brought something since, or was revoked.
-- Index stream_batches_by_time.
WITH streams AS (
    SELECT stream_id, name FROM ops.streams WHERE revoked_at IS NULL
    UNION ALL SELECT 'files', 'files'
), latest AS (
    SELECT s.stream_id, s.name, l.last_at
    FROM streams AS s
    CROSS JOIN LATERAL (SELECT max(received_at) AS last_at FROM raw.stream_batches AS b WHERE b.stream_id = s.stream_id) AS l
), slots AS (
    SELECT l.stream_id, floor(extract(epoch FROM l.last_at - ended) / 86400) AS days_ago, b.first_at,
           b.first_at - lag(b.last_at) OVER (PARTITION BY l.stream_id ORDER BY ended) AS gap
    FROM latest AS l
    CROSS JOIN LATERAL generate_series(l.last_at - interval '7 days', l.last_at, interval '10 minutes') AS ended
    CROSS JOIN LATERAL (
        SELECT min(received_at) AS first_at, max(received_at) AS last_at FROM raw.stream_batches AS b
        WHERE b.stream_id = l.stream_id AND b.received_at > ended - interval '10 minutes' AND b.received_at <= ended
    ) AS b
    WHERE l.last_at > %(now)s::timestamptz - interval '7 days' AND b.first_at IS NOT NULL
), usual AS (
    SELECT stream_id, percentile_cont(0.5) WITHIN GROUP (ORDER BY largest) AS gap
    FROM (SELECT stream_id, days_ago, max(gap) AS largest, count(*) AS slots FROM slots GROUP BY 1, 2) AS days
    GROUP BY stream_id HAVING sum(slots) >= 3
), standing AS (
    SELECT incident_id, details FROM ops.incidents WHERE kind = 'stream_outage' AND closed_at IS NULL
), silent AS (
    SELECT l.stream_id, l.name, l.last_at
    FROM latest AS l JOIN usual AS u USING (stream_id)
    WHERE %(now)s::timestamptz - l.last_at > greatest(interval '1 hour', least(10 * u.gap, interval '3 days'))
    UNION  -- found earlier, and nothing has come since
    SELECT l.stream_id, l.name, e.last_at
    FROM standing CROSS JOIN LATERAL jsonb_each(standing.details) AS d (stream_id, about)
    CROSS JOIN LATERAL (SELECT (d.about ->> 'last_at')::timestamptz AS last_at) AS e
    JOIN latest AS l ON l.stream_id = d.stream_id AND l.last_at IS NOT DISTINCT FROM e.last_at
), found AS (
    SELECT jsonb_object_agg(stream_id, jsonb_build_object('name', name, 'last_at', last_at)) AS details,
           string_agg(format('%%s (%%s) brought nothing since %%s UTC', name, stream_id,
                             to_char(last_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')), '; ' ORDER BY stream_id)
               || '. Look at the stream in 1NCE''s portal (FAILED: restart it) and at the way here' AS message
    FROM silent HAVING count(*) > 0
), opened AS (
    INSERT INTO ops.incidents (organization_id, kind, opened_at, message, details)
    SELECT (SELECT ops.current_organization()), 'stream_outage', %(now)s::timestamptz, message, details FROM found
    WHERE NOT EXISTS (SELECT FROM standing)
    ON CONFLICT (organization_id, kind) WHERE closed_at IS NULL DO NOTHING
    RETURNING incident_id
), changed AS (
    UPDATE ops.incidents AS i SET message = found.message, details = found.details
    FROM found, standing WHERE i.incident_id = standing.incident_id AND i.details <> found.details
    RETURNING i.incident_id
), closed AS (
    UPDATE ops.incidents AS i SET closed_at = %(now)s::timestamptz
    FROM standing WHERE i.incident_id = standing.incident_id AND NOT EXISTS (SELECT FROM found)
    RETURNING i.incident_id
)
SELECT (SELECT message FROM found) AS message,
       (SELECT count(*) FROM opened) AS opened, (SELECT count(*) FROM changed) AS changed, (SELECT count(*) FROM closed) AS closed;
