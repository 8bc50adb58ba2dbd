-- Days from %(first)s to %(last)s: data volume by the stream and by the book, and how far they are apart as a share of the book's.
-- Only SIMs that the stream covers in these days and that the book covers for the day; the day the stream began on is left out.
-- Index stream_usage_by_sim.
WITH covered AS (
    SELECT DISTINCT sim_key FROM own.stream_usage WHERE day BETWEEN %(first)s::date AND %(last)s::date
), days AS (
    SELECT c.sim_key, d.day::date AS day
    FROM covered AS c
    JOIN ops.polls AS p ON p.sim_key = c.sim_key AND p.source = 'usage'
    CROSS JOIN generate_series(%(first)s::date, %(last)s::date, interval '1 day') AS d (day)
    WHERE p.covered_to >= d.day AND d.day > (SELECT min(day) FROM own.stream_usage)
), streamed AS (
    SELECT sim_key, day, sum(bytes) AS bytes FROM own.stream_usage
    WHERE day BETWEEN %(first)s::date AND %(last)s::date GROUP BY sim_key, day
), summed AS (
    SELECT d.day, count(*) AS sims, coalesce(sum(s.bytes), 0)::bigint AS stream_bytes, coalesce(sum(u.bytes), 0)::bigint AS book_bytes
    FROM days AS d
    LEFT JOIN streamed AS s USING (sim_key, day)
    LEFT JOIN own.sim_usage AS u ON u.sim_key = d.sim_key AND u.day = d.day
    GROUP BY d.day
)
SELECT day, sims, stream_bytes, book_bytes,
       CASE WHEN stream_bytes = book_bytes THEN 0
            WHEN book_bytes = 0 THEN 1
            ELSE abs(stream_bytes - book_bytes)::double precision / book_bytes END AS difference
FROM summed ORDER BY day;
