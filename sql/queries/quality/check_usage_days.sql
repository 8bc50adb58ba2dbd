-- Days from %(first)s to %(last)s: SIMs with a row, SIMs that were active by then and answer, the share of these whose day is known:
-- covered by a usage answer, or booked from another source. A SIM for which the usage call is gone need not be known day by day:
-- a look at its quota within the week before is enough.
WITH days AS (
    SELECT day::date AS day FROM generate_series(%(first)s::date, %(last)s::date, interval '1 day') AS day
), used AS (
    SELECT day, count(*) AS sims, sum(bytes)::bigint AS bytes
    FROM own.sim_usage WHERE day BETWEEN %(first)s::date AND %(last)s::date GROUP BY day
), asked AS (
    SELECT d.day, count(*) AS sims, count(*) FILTER (WHERE p.covered_to >= d.day OR u.sim_key IS NOT NULL OR looked.at) AS covered
    FROM days AS d
    JOIN core.sims AS s ON s.activated_at < d.day
    LEFT JOIN ops.polls AS p ON p.sim_key = s.sim_key AND p.source = 'usage'
    LEFT JOIN own.sim_usage AS u ON u.sim_key = s.sim_key AND u.day = d.day AND u.source <> 'c'
    CROSS JOIN LATERAL (
        SELECT (coalesce(p.problem IN ('OnceNotOnV1Error', 'OnceCallGoneError'), false)
                OR EXISTS (SELECT FROM ops.once_calls AS c WHERE c.call = 'usage' AND c.gone_since IS NOT NULL))
               AND EXISTS (
                   SELECT FROM own.sim_quota AS q WHERE q.sim_key = s.sim_key AND q.kind = 'data' AND q.day >= d.day - 7) AS at
    ) AS looked
    WHERE p.problem IS DISTINCT FROM 'OnceSimExpiredError'
    GROUP BY d.day
)
SELECT a.day, coalesce(u.sims, 0) AS sims, a.sims AS asked, a.covered::double precision / a.sims AS covered,
       coalesce(u.bytes, 0) AS bytes
FROM asked AS a LEFT JOIN used AS u USING (day) ORDER BY a.day;
