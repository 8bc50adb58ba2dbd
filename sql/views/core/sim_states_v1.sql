-- SIMs in the SIM list, and those of an order that are not in it yet.
CREATE OR REPLACE VIEW core.sim_states_v1 WITH (security_invoker = true) AS
SELECT
    t.organization_id,
    s.iccid,
    coalesce(s.own_label, s.label) AS label,
    t.state,
    t.since,
    t.cause,
    t.evidence,
    t.as_of,
    t.decided_by,
    t.decided_at
FROM core.sim_states AS t
JOIN core.sims AS s USING (sim_key)

UNION ALL

SELECT
    o.organization_id,
    o.iccid,
    NULL,
    'ordered',
    (o.ordered_at AT TIME ZONE 'UTC')::date,
    NULL,
    'In order ' || o.order_number || ' of ' || (o.ordered_at AT TIME ZONE 'UTC')::date || ', not in the SIM list yet.',
    (o.ordered_at AT TIME ZONE 'UTC')::date,
    'order ' || o.order_number,
    o.changed_at
FROM (
    -- the first order that names the SIM
    SELECT DISTINCT ON (b.organization_id, i.iccid)
        b.organization_id,
        i.iccid,
        b.order_number,
        b.ordered_at,
        b.changed_at
    FROM core.orders AS b
    CROSS JOIN LATERAL unnest(b.iccids) AS i (iccid)
    WHERE b.order_type IN ('FIRST_ORDER', 'ADDITIONAL_ORDER') AND b.ordered_at IS NOT NULL
    ORDER BY b.organization_id, i.iccid, b.ordered_at
) AS o
WHERE NOT EXISTS (
    SELECT FROM core.sims AS s
    WHERE s.organization_id = o.organization_id AND s.iccid = o.iccid
);

COMMENT ON VIEW core.sim_states_v1 IS
    'One row a SIM: the state of its life now, since when and on what evidence. '
    'SIMs that are ordered and not listed yet are in it, with the order as evidence';

GRANT SELECT ON core.sim_states_v1 TO simsight_pipeline, simsight_api;
