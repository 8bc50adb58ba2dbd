-- One row of what happened to a SIM before a given entry, the newest first, whatever its kind. details: jsonb.
-- Parameters: iccid text; kinds text[]; at timestamptz, kind and id text of the last row seen ('infinity', '' and '' for the first page);
-- rows integer. Each branch stops after rows of its own, in the order of the whole.
-- Indexes: sims_organization_id_iccid_key, and by SIM: sim_events_pkey, anomalies_pkey, alerts_by_sim, sim_lifecycle_pkey,
-- ticket_classes_by_sim, exhaustions_pkey; it looks through the orders.
WITH sim AS (SELECT sim_key FROM core.sims WHERE iccid = %(iccid)s::text),
words (code, words) AS (
    VALUES ('ok', 'predicted'), ('extrapolated', 'far ahead'), ('exhausted', 'volume used up'), ('expired', 'expired'),
           ('not_enough_evidence', 'too little known')
),
entries AS (
    (SELECT e.occurred_at AS at, 'event' AS kind, e.event_type AS id, e.event_type AS title, lower(e.severity) AS severity,
            jsonb_build_object('alert', e.alert, 'imei', e.imei, 'country', e.country, 'operator', e.operator) AS details
     FROM core.sim_events AS e
     WHERE e.sim_key = (SELECT sim_key FROM sim) AND 'event' = ANY (%(kinds)s::text[]) AND e.occurred_at <= %(at)s::timestamptz
       AND (e.occurred_at < %(at)s::timestamptz OR ('event', e.event_type) > (%(kind)s::text, %(id)s::text))
     ORDER BY e.occurred_at DESC, e.event_type LIMIT %(rows)s)
    UNION ALL
    SELECT day::timestamp AT TIME ZONE 'UTC', 'anomaly', anomaly_id::text, reasons, severity,
           jsonb_build_object('kind', kind, 'score', score, 'incident_id', incident_id, 'live', live, 'as_of', as_of,
                              'model_version', model_version)
    FROM predictions.anomalies
    WHERE sim_key = (SELECT sim_key FROM sim) AND 'anomaly' = ANY (%(kinds)s::text[])
    UNION ALL
    SELECT opened_at, 'alert', alert_id::text, message, severity,
           jsonb_build_object('kind', kind, 'state', state, 'closed_at', closed_at, 'as_of', opened_as_of)
    FROM predictions.alerts
    WHERE sim_key = (SELECT sim_key FROM sim) AND 'alert' = ANY (%(kinds)s::text[])
    UNION ALL
    SELECT occurred_on::timestamp AT TIME ZONE 'UTC', CASE kind WHEN 'top_up' THEN 'top_up' ELSE 'state' END, entry_id::text, evidence,
           NULL, jsonb_build_object('kind', kind, 'from', from_value, 'to', to_value, 'decided_by', decided_by, 'as_of', as_of)
    FROM core.sim_lifecycle
    WHERE sim_key = (SELECT sim_key FROM sim)
      AND CASE kind WHEN 'top_up' THEN 'top_up' ELSE 'state' END = ANY (%(kinds)s::text[])
    UNION ALL
    SELECT ordered_at, 'order', order_number::text, concat_ws(' ', order_type, order_number, status), NULL,
           jsonb_build_object('order_type', order_type, 'status', status, 'sims', cardinality(iccids))
    FROM core.orders
    WHERE %(iccid)s::text = ANY (iccids) AND ordered_at IS NOT NULL AND 'order' = ANY (%(kinds)s::text[])
      AND EXISTS (SELECT FROM sim)
    UNION ALL
    SELECT coalesce(t.created_at, t.changed_at), 'ticket', t.case_id, coalesce(t.subject, ''), NULL,
           jsonb_build_object('status', t.status, 'category', c.category, 'priority', c.priority, 'solved_at', t.solved_at)
    FROM predictions.ticket_classes AS c
    JOIN core.tickets AS t USING (organization_id, case_id)
    WHERE c.sim_key = (SELECT sim_key FROM sim) AND 'ticket' = ANY (%(kinds)s::text[])
    UNION ALL
    SELECT a.requested_at, 'action', a.action_id::text, concat(a.kind, ', ', a.state), NULL,
           jsonb_build_object('kind', a.kind, 'state', a.state, 'requested_by', a.requested_by, 'sent_at', a.sent_at, 'message', a.message)
    FROM ops.sim_actions(%(iccid)s::text) AS a
    WHERE 'action' = ANY (%(kinds)s::text[])
    UNION ALL
    SELECT as_of::timestamp AT TIME ZONE 'UTC', 'exhaustion', as_of::text,
           CASE WHEN status IS DISTINCT FROM before_status THEN concat('End: ', now.words, ' (before: ', before.words, ')')
                ELSE concat('Its median end moved from ', coalesce(before_date::text, 'none'), ' to ', coalesce(p50_date::text, 'none')) END,
           NULL, jsonb_build_object('status', status, 'status_before', before_status, 'date', p50_date, 'date_before', before_date,
                                    'as_of', as_of)
    FROM (
        SELECT as_of, status, p50_date, lag(status) OVER days AS before_status, lag(p50_date) OVER days AS before_date,
               row_number() OVER days AS place
        FROM predictions.exhaustions
        WHERE sim_key = (SELECT sim_key FROM sim) AND 'exhaustion' = ANY (%(kinds)s::text[])
        WINDOW days AS (ORDER BY as_of)
    ) AS e
    LEFT JOIN words AS now ON now.code = e.status
    LEFT JOIN words AS before ON before.code = e.before_status
    WHERE place > 1 AND (status IS DISTINCT FROM before_status OR (p50_date IS NULL) <> (before_date IS NULL)
                         OR abs(p50_date - before_date) >= 3)
)
SELECT at, kind, id, title, severity, details
FROM entries
WHERE at <= %(at)s::timestamptz AND (at < %(at)s::timestamptz OR (kind, id) > (%(kind)s::text, %(id)s::text))
ORDER BY at DESC, kind, id
LIMIT %(rows)s
