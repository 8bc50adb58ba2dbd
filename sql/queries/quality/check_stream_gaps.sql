-- SIMs whose use on the days %(days)s (date[], on which the stream was whole) both the Data Streamer and another source tell, one row a
-- SIM and source: how many days, and the bytes of each over all of them. Days spread over a stretch, and answers for a day under way,
-- are left out; so are SIMs of which the stream had brought nothing before the day. Index stream_usage_by_sim, sim_usage_key.
WITH begun AS (
    SELECT s.sim_key, p.covered_to, b.day
    FROM core.sims AS s
    LEFT JOIN ops.polls AS p ON p.sim_key = s.sim_key AND p.source = 'usage'
    CROSS JOIN LATERAL (SELECT min(t.day) AS day FROM own.stream_usage AS t WHERE t.sim_key = s.sim_key) AS b
    WHERE b.day IS NOT NULL
), streamed AS (
    SELECT sim_key, day, sum(bytes)::bigint AS bytes FROM own.stream_usage
    WHERE day = ANY(%(days)s::date[]) GROUP BY sim_key, day
), booked AS (
    SELECT * FROM own.sim_usage WHERE day = ANY(%(days)s::date[])
)
SELECT b.sim_key, core.usage_source(coalesce(u.source, 'c')) AS source, count(*) AS days,
       sum(coalesce(u.bytes, 0))::bigint AS book_bytes, sum(coalesce(t.bytes, 0))::bigint AS other_bytes
FROM begun AS b
JOIN unnest(%(days)s::date[]) AS d (day) ON d.day > b.day
LEFT JOIN booked AS u ON u.sim_key = b.sim_key AND u.day = d.day
LEFT JOIN streamed AS t ON t.sim_key = b.sim_key AND t.day = d.day
WHERE CASE WHEN u.source IS NULL THEN b.covered_to >= d.day
           WHEN u.source = 'c' THEN b.covered_to >= d.day OR u.known_at >= (d.day + 1)::timestamp AT TIME ZONE 'UTC'
           ELSE u.source <> 's' AND u.grade <> 'C' END
GROUP BY b.sim_key, 2;
