-- Network events whose device or country differs from the event before, from %(first)s (date) to %(now)s, the first one included:
-- one row a SIM, kind (imei, country) and beginning of a run of equal values, in order of time. Primary key of core.sim_events.
-- The first 14 digits of an IMEI are the device; the rest is a check digit or the version of its software.
WITH seen AS (
    SELECT sim_key, occurred_at, imei AS value, left(imei, 14) AS identity, operator FROM core.sim_events
    WHERE occurred_at >= %(first)s::date AND occurred_at <= %(now)s AND imei IS NOT NULL
), devices AS (
    SELECT *, lag(identity) OVER (PARTITION BY sim_key ORDER BY occurred_at) AS before FROM seen
), places AS (
    SELECT sim_key, occurred_at, country AS value, operator,
           lag(country) OVER (PARTITION BY sim_key ORDER BY occurred_at) AS before
    FROM core.sim_events
    WHERE occurred_at >= %(first)s::date AND occurred_at <= %(now)s AND country IS NOT NULL
)
SELECT sim_key, kind, (occurred_at AT TIME ZONE 'UTC')::date AS day, value,
       'First network event with it at ' || to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')
           || coalesce(' UTC on ' || operator || '.', ' UTC.') AS evidence
FROM (
    SELECT sim_key, occurred_at, 'imei' AS kind, value, operator FROM devices WHERE identity IS DISTINCT FROM before
    UNION ALL
    SELECT sim_key, occurred_at, 'country', value, operator FROM places WHERE value IS DISTINCT FROM before
) AS found
ORDER BY sim_key, kind, occurred_at;
