-- Days of some SIMs by the Data Streamer, from each one's %(first_days)s (by place in %(sim_keys)s) to %(last)s. Grade A on the days
-- %(whole)s for a SIM that the stream brought something of on an earlier day: without a record it used nothing then. Else B, and
-- days without a record are left out, unless the book has them from a time when the day looked whole. What a SIM used on its first day
-- before its first record is unknown (the stream may not have covered it yet), so that day is B. Days up to %(covered)s (by place; -infinity: none) belong to the usage call.
-- Index stream_usage_by_sim.
WITH asked AS (
    SELECT a.*, (SELECT min(t.day) FROM own.stream_usage AS t WHERE t.sim_key = a.sim_key) AS begun_on
    FROM unnest(%(sim_keys)s::integer[], %(first_days)s::date[], %(covered)s::date[]) AS a (sim_key, first_day, covered_to)
), summed AS (
    SELECT t.sim_key, t.day, sum(t.bytes)::bigint AS bytes,
           CASE WHEN bool_and(t.kind <> 'data' OR t.bytes_rx IS NOT NULL) THEN coalesce(sum(t.bytes_rx), 0)::bigint END AS bytes_rx,
           least(sum(t.sms), 32767) AS sms
    FROM asked AS a
    JOIN own.stream_usage AS t ON t.sim_key = a.sim_key AND t.day BETWEEN a.first_day AND %(last)s::date
    GROUP BY t.sim_key, t.day
)
SELECT a.sim_key, d.day::date AS day, coalesce(s.bytes, 0) AS bytes,
       CASE WHEN s.sim_key IS NULL THEN 0 ELSE s.bytes_rx END AS bytes_rx, coalesce(s.sms, 0) AS sms_unsplit,
       CASE WHEN g.is_whole THEN 'A' ELSE 'B' END AS grade
FROM asked AS a
JOIN core.sims AS c ON c.sim_key = a.sim_key
CROSS JOIN LATERAL generate_series(greatest(a.first_day, a.begun_on), %(last)s::date, interval '1 day') AS d (day)
CROSS JOIN LATERAL (SELECT d.day::date = ANY(%(whole)s::date[]) AND a.begun_on < d.day::date AS is_whole) AS g
LEFT JOIN summed AS s ON s.sim_key = a.sim_key AND s.day = d.day::date
WHERE d.day::date > a.covered_to
  AND (s.sim_key IS NOT NULL OR g.is_whole AND (c.unlisted_at IS NULL OR c.unlisted_at >= d.day)
       OR EXISTS (SELECT FROM own.sim_usage AS u WHERE u.sim_key = a.sim_key AND u.day = d.day::date AND u.source = 's'));
