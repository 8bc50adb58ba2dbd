-- Stretches up to %(as_of)s in which a SIM from %(first_key)s to %(last_key)s had no data volume, by its events and orders: sim_key, out_from,
-- out_to (dates), from the day after it was used up to the day before the next top-up. Index: primary key of core.sim_events.
WITH noticed AS (
    SELECT sim_key, (occurred_at AT TIME ZONE 'UTC')::date AS day, event_type !~* 'topped up' AS is_end
    FROM own.sim_events
    WHERE occurred_at >= (%(as_of)s::date - 365)::timestamp AT TIME ZONE 'UTC'
      AND occurred_at < (%(as_of)s::date + 1)::timestamp AT TIME ZONE 'UTC' AND sim_key BETWEEN %(first_key)s AND %(last_key)s
      AND event_type ~* 'data quota' AND event_type ~* '(to ''?exhausted|topped up)'
    UNION ALL
    SELECT s.sim_key, (o.ordered_at AT TIME ZONE 'UTC')::date, false
    FROM core.orders AS o CROSS JOIN LATERAL unnest(o.iccids) AS i (iccid) JOIN core.sims AS s ON s.iccid = i.iccid
    WHERE o.order_type IN ('TOPUP', 'BULK_TOPUP') AND o.ordered_at >= (%(as_of)s::date - 365)::timestamp AT TIME ZONE 'UTC'
      AND o.ordered_at < (%(as_of)s::date + 1)::timestamp AT TIME ZONE 'UTC' AND s.sim_key BETWEEN %(first_key)s AND %(last_key)s
), followed AS (
    SELECT sim_key, day, is_end, lead(day) OVER (PARTITION BY sim_key ORDER BY day, is_end DESC) AS next_day FROM noticed
)
SELECT sim_key, day + 1 AS out_from, coalesce(next_day - 1, %(as_of)s::date) AS out_to
FROM followed
WHERE is_end AND day + 1 <= coalesce(next_day - 1, %(as_of)s::date)
ORDER BY sim_key, out_from;
