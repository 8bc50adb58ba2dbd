-- One row an event of the fleet before a given one, the newest first.
-- Parameters: at timestamptz, event_type and iccid text of the last row seen ('infinity', '' and '' for the first page); type and severity
-- text, first and last date (UTC days), NULL each for any; rows integer.
-- It looks through all events of the days. An index by time would serve it and harm the rest: for "the last event of a SIM before ..." the
-- planner walks it through the events of all SIMs (in the demo that step went from 1 to 54 seconds).
SELECT e.occurred_at, s.iccid, e.event_type, e.severity, e.alert, e.imei, e.country, e.operator
FROM (
    SELECT sim_key, occurred_at, event_type, severity, alert, imei, country, operator
    FROM core.sim_events
    WHERE occurred_at <= %(at)s::timestamptz
      AND occurred_at >= coalesce(%(first)s::date::timestamp AT TIME ZONE 'UTC', '-infinity')
      AND occurred_at < coalesce((%(last)s::date + 1)::timestamp AT TIME ZONE 'UTC', 'infinity')
      AND (occurred_at < %(at)s::timestamptz
           OR (event_type, sim_key) > (%(event_type)s::text,
                                       coalesce((SELECT sim_key FROM core.sims WHERE iccid = %(iccid)s::text), 0)))
      AND (%(type)s::text IS NULL OR event_type = %(type)s::text)
      AND (%(severity)s::text IS NULL OR severity = %(severity)s::text)
    ORDER BY occurred_at DESC, event_type, sim_key
    LIMIT %(rows)s
) AS e
JOIN core.sims AS s USING (sim_key)
ORDER BY e.occurred_at DESC, e.event_type, e.sim_key
