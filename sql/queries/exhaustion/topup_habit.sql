-- Whether the last data top-up of a SIM in the half year up to %(as_of)s was automatic: it followed the 20 %% threshold within a day and no
-- exhaustion; the quota given on the day of activation is no top-up. To be put into queries of the SIMs from %(first_key)s to %(last_key)s.
WITH noticed AS (
    SELECT sim_key, occurred_at, CASE WHEN event_type ILIKE '%%topped up%%' THEN 'top_up' WHEN event_type ILIKE '%%threshold%%' THEN 'threshold' ELSE 'gone' END AS kind
    FROM own.sim_events JOIN core.sims AS s USING (sim_key)
    WHERE occurred_at >= (%(as_of)s::date - 182)::timestamp AT TIME ZONE 'UTC' AND occurred_at < (%(as_of)s::date + 1)::timestamp AT TIME ZONE 'UTC'
      AND sim_key BETWEEN %(first_key)s AND %(last_key)s
      AND event_type ILIKE '%%data quota%%' AND (event_type ILIKE '%%topped up%%' OR event_type ILIKE '%%threshold%%' OR event_type ILIKE '%%exhausted%%')
      AND (event_type NOT ILIKE '%%topped up%%'
           OR (occurred_at AT TIME ZONE 'UTC')::date IS DISTINCT FROM (s.activated_at AT TIME ZONE 'UTC')::date)
)
SELECT DISTINCT ON (sim_key) sim_key, kind_before = 'threshold' AND occurred_at <= before + interval '1 day' AS automatic
FROM (
    SELECT sim_key, kind, occurred_at, lag(kind) OVER w AS kind_before, lag(occurred_at) OVER w AS before
    FROM noticed WINDOW w AS (PARTITION BY sim_key ORDER BY occurred_at, kind)
) AS paired
WHERE kind = 'top_up' ORDER BY sim_key, occurred_at DESC
