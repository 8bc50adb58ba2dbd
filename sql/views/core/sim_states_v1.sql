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
COMMENT ON COLUMN core.sim_states_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN core.sim_states_v1.iccid IS 'ICCID of the SIM: 19 digits, without the check digit';
COMMENT ON COLUMN core.sim_states_v1.label IS
    'Name of the SIM: the customer''s own or else 1NCE''s; NULL: it has none, or is ordered and not listed yet';
COMMENT ON COLUMN core.sim_states_v1.state IS
    'ordered, issued, activated, active, silent, suspended, expired or deactivated (docs/lifecycle.md)';
COMMENT ON COLUMN core.sim_states_v1.since IS 'UTC day from which the SIM is in this state; ordered: day of the order';
COMMENT ON COLUMN core.sim_states_v1.cause IS
    'Why, where a state has several causes: expiry_date or refused; disabled, unlisted, unknown or exhausted; off. Else NULL';
COMMENT ON COLUMN core.sim_states_v1.evidence IS 'On what it was decided, as a sentence with numbers';
COMMENT ON COLUMN core.sim_states_v1.as_of IS 'Last complete UTC day that was known when it was decided; ordered: day of the order';
COMMENT ON COLUMN core.sim_states_v1.decided_by IS 'Who decided: the state machine and its version, a person, or the order';
COMMENT ON COLUMN core.sim_states_v1.decided_at IS 'When it was decided (UTC)';

GRANT SELECT ON core.sim_states_v1 TO simsight_pipeline, simsight_api;
