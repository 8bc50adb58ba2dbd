-- Days from %(first)s to %(last)s at %(now)s, one row each. whole: every live stream delivered on it to its end, so that what a SIM
-- used is all there: none of them is or was out then, and each has brought something since. settled: nothing more is to be waited for.
-- A stream is live on a day when it has brought something in the week before its end. Index stream_batches_by_time.
WITH days AS (
    SELECT d::date AS day, d::date::timestamp AT TIME ZONE 'UTC' AS began, (d::date + 1)::timestamp AT TIME ZONE 'UTC' AS ended
    FROM generate_series(%(first)s::date, %(last)s::date, interval '1 day') AS d
), streams AS (
    SELECT s.stream_id, l.last_at
    FROM (SELECT stream_id FROM ops.streams WHERE revoked_at IS NULL UNION ALL SELECT 'files') AS s
    CROSS JOIN LATERAL (SELECT max(received_at) AS last_at FROM raw.stream_batches AS b WHERE b.stream_id = s.stream_id) AS l
    WHERE l.last_at IS NOT NULL
), outages AS (
    SELECT coalesce((SELECT min((d.about ->> 'last_at')::timestamptz) FROM jsonb_each(details) AS d (stream_id, about)), opened_at) AS began,
           coalesce(closed_at, 'infinity') AS ended
    FROM ops.incidents WHERE kind = 'stream_outage'
), judged AS (
    SELECT d.day, d.ended,
           EXISTS (SELECT FROM outages AS o WHERE o.began < d.ended AND o.ended > d.began) AS is_out,
           EXISTS (SELECT FROM streams AS s WHERE s.last_at >= d.ended) AS has_gone_on,
           EXISTS (SELECT FROM streams AS s WHERE s.last_at < d.ended AND s.last_at >= d.ended - interval '7 days') AS is_waited_for
    FROM days AS d
)
SELECT day, has_gone_on AND NOT is_out AND NOT is_waited_for AS whole,
       is_out OR has_gone_on AND NOT is_waited_for OR %(now)s::timestamptz >= ended + interval '12 hours' AS settled
FROM judged ORDER BY day;
