-- Of the SIMs with a key of the block, changes of the device and the visited country from %(first)s (date) to the end of the last whole UTC day before %(now)s: at most one
-- row a SIM, kind and day, from what it ended its day before with to what it ended this one with. The first 14 digits of an IMEI are the
-- device; the rest is a check digit or the version of its software. Primary key of core.sim_events.
WITH bounds AS (
    SELECT %(first)s::date::timestamp AT TIME ZONE 'UTC' AS low,
           date_trunc('day', %(now)s::timestamptz AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS high
), seen AS MATERIALIZED (
    SELECT e.sim_key, e.occurred_at, (e.occurred_at AT TIME ZONE 'UTC')::date AS day, e.imei, e.country, e.operator
    FROM own.sim_events AS e, bounds AS b
    WHERE e.sim_key BETWEEN %(first_key)s AND %(last_key)s AND e.occurred_at >= b.low AND e.occurred_at < b.high AND (e.imei IS NOT NULL OR e.country IS NOT NULL)
), ends AS (
    (SELECT DISTINCT ON (sim_key, day) sim_key, day, 'imei_change' AS kind, imei AS value, left(imei, 14) AS identity, occurred_at, operator
     FROM seen WHERE imei IS NOT NULL ORDER BY sim_key, day, occurred_at DESC)
    UNION ALL
    (SELECT DISTINCT ON (sim_key, day) sim_key, day, 'country_change', country, country, occurred_at, operator
     FROM seen WHERE country IS NOT NULL ORDER BY sim_key, day, occurred_at DESC)
), compared AS (
    SELECT *, lag(value) OVER w AS before FROM ends WINDOW w AS (PARTITION BY sim_key, kind ORDER BY day)
), placed AS (  -- a SIM's first day is held against the last event before the days looked at
    SELECT c.*, coalesce(c.before, p.before) AS from_value
    FROM compared AS c CROSS JOIN bounds AS b
    LEFT JOIN LATERAL (
        SELECT CASE c.kind WHEN 'imei_change' THEN e.imei ELSE e.country END AS before FROM own.sim_events AS e
        WHERE c.before IS NULL AND e.sim_key = c.sim_key AND e.occurred_at < b.low
            AND CASE c.kind WHEN 'imei_change' THEN e.imei ELSE e.country END IS NOT NULL
        ORDER BY e.occurred_at DESC LIMIT 1
    ) AS p ON true
)
SELECT sim_key, kind, day AS occurred_on, from_value, value AS to_value,
       'Network event with it at ' || to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')
           || coalesce(' UTC on ' || operator || '.', ' UTC.') AS evidence
FROM placed
WHERE identity <> CASE kind WHEN 'imei_change' THEN left(from_value, 14) ELSE from_value END
ORDER BY sim_key, kind, day;
