-- Days from %(first)s to %(last)s: SIMs with a row, SIMs that were active by then and answer, the share of these covered by a poll.
SELECT d.day::date AS day,
       (SELECT count(*) FROM core.sim_usage AS u WHERE u.day = d.day::date) AS sims,
       count(*) AS asked,
       count(*) FILTER (WHERE p.covered_to >= d.day::date)::double precision / count(*) AS covered,
       (SELECT coalesce(sum(bytes), 0)::bigint FROM core.sim_usage AS u WHERE u.day = d.day::date) AS bytes
FROM generate_series(%(first)s::date, %(last)s::date, interval '1 day') AS d (day)
JOIN core.sims AS s ON s.activated_at < d.day
LEFT JOIN ops.polls AS p ON p.sim_key = s.sim_key AND p.source = 'usage'
WHERE p.problem IS DISTINCT FROM 'OnceSimExpiredError'
GROUP BY d.day ORDER BY d.day;
