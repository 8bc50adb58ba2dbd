-- Where each SIM is in its life, and how it got there: the present state, the history, and a day's counts.
SET LOCAL ROLE simsight_owner;

ALTER TABLE core.sims ADD COLUMN unlisted_at timestamptz;
COMMENT ON COLUMN core.sims.unlisted_at IS 'Since when the SIM list, read to its end, does not name it (UTC); NULL: it does';

CREATE TABLE core.sim_states (
    sim_key integer PRIMARY KEY REFERENCES core.sims,
    organization_id smallint NOT NULL,
    state text NOT NULL CHECK (state IN ('issued', 'activated', 'active', 'silent', 'suspended', 'expired', 'deactivated')),
    since date NOT NULL,
    cause text,
    evidence text NOT NULL,
    as_of date NOT NULL,
    decided_by text NOT NULL,
    decided_at timestamptz NOT NULL,
    off_on date,
    resumed_on date
);
COMMENT ON TABLE core.sim_states IS 'One row a listed SIM: the state of its life now, written when it changes. Found by key, where the last row of its history would have to be searched for';
COMMENT ON COLUMN core.sim_states.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN core.sim_states.organization_id IS 'Organization';
COMMENT ON COLUMN core.sim_states.state IS 'issued, activated, active, silent, suspended, expired or deactivated (docs/lifecycle.md)';
COMMENT ON COLUMN core.sim_states.since IS 'UTC day from which the SIM is in this state';
COMMENT ON COLUMN core.sim_states.cause IS 'Why, where a state has several causes: expiry_date or refused; disabled, unlisted, unknown or exhausted; off';
COMMENT ON COLUMN core.sim_states.evidence IS 'On what it was decided, as a sentence with numbers';
COMMENT ON COLUMN core.sim_states.as_of IS 'Last complete usage day known when it was decided';
COMMENT ON COLUMN core.sim_states.decided_by IS 'Who decided: the state machine and its version, or a person';
COMMENT ON COLUMN core.sim_states.decided_at IS 'When it was decided (UTC)';
COMMENT ON COLUMN core.sim_states.off_on IS 'Since when it is known to be Disabled, not in the SIM list, or unknown to 1NCE; NULL when it is none of these';
COMMENT ON COLUMN core.sim_states.resumed_on IS 'UTC day it last came back from being suspended, expired or deactivated; its silence counts from then at the earliest';
CREATE INDEX sim_states_by_state ON core.sim_states (organization_id, state);
SELECT ops.guard('core.sim_states');

CREATE TABLE core.sim_lifecycle (
    sim_key integer NOT NULL REFERENCES core.sims,
    occurred_on date NOT NULL,
    entry_id bigint GENERATED ALWAYS AS IDENTITY,
    organization_id smallint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('state', 'imei_change', 'country_change', 'top_up')),
    from_value text,
    to_value text NOT NULL,
    evidence text NOT NULL,
    as_of date NOT NULL,
    decided_by text NOT NULL,
    decided_at timestamptz NOT NULL,
    PRIMARY KEY (sim_key, occurred_on, entry_id)
);
COMMENT ON TABLE core.sim_lifecycle IS 'One row an entry in the life of a SIM: a state it entered, or something that happened to it. Rows are added, never changed';
COMMENT ON COLUMN core.sim_lifecycle.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN core.sim_lifecycle.occurred_on IS 'UTC day on which it happened; for a state, from which it holds';
COMMENT ON COLUMN core.sim_lifecycle.entry_id IS 'Rises with the entries of a day';
COMMENT ON COLUMN core.sim_lifecycle.organization_id IS 'Organization';
COMMENT ON COLUMN core.sim_lifecycle.kind IS 'state, imei_change, country_change or top_up';
COMMENT ON COLUMN core.sim_lifecycle.from_value IS 'State, IMEI or country before; NULL for the first known and for a top-up';
COMMENT ON COLUMN core.sim_lifecycle.to_value IS 'State, IMEI or country after; of a top-up data or sms';
COMMENT ON COLUMN core.sim_lifecycle.evidence IS 'From what it is known, as a sentence with numbers';
COMMENT ON COLUMN core.sim_lifecycle.as_of IS 'Last complete usage day known when it was decided';
COMMENT ON COLUMN core.sim_lifecycle.decided_by IS 'Who decided: the state machine and its version, or a person';
COMMENT ON COLUMN core.sim_lifecycle.decided_at IS 'When it was decided (UTC)';
-- what happened is found again when its days are looked at again; states follow from the state before
CREATE UNIQUE INDEX sim_lifecycle_once ON core.sim_lifecycle (sim_key, kind, occurred_on, to_value)
    WHERE kind <> 'state';
SELECT ops.guard('core.sim_lifecycle');

CREATE TABLE core.sim_state_counts (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    as_of date NOT NULL,
    state text NOT NULL,
    sims integer NOT NULL,
    evaluated_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, as_of, state)
);
COMMENT ON TABLE core.sim_state_counts IS 'One row an evaluated as-of day and state: how many SIMs were in it. The last day is how far the states stand';
COMMENT ON COLUMN core.sim_state_counts.organization_id IS 'Organization';
COMMENT ON COLUMN core.sim_state_counts.as_of IS 'Last complete usage day known';
COMMENT ON COLUMN core.sim_state_counts.state IS 'State, ordered included: SIMs of an order that are not in the SIM list yet';
COMMENT ON COLUMN core.sim_state_counts.sims IS 'SIMs in this state';
COMMENT ON COLUMN core.sim_state_counts.evaluated_at IS 'When this count was last changed (UTC)';
SELECT ops.guard('core.sim_state_counts');
GRANT USAGE ON ALL SEQUENCES IN SCHEMA core TO simsight_pipeline;

CREATE VIEW core.sim_states_v1 WITH (security_invoker = true) AS
SELECT t.organization_id, s.iccid, coalesce(s.own_label, s.label) AS label, t.state, t.since, t.cause, t.evidence, t.as_of, t.decided_by, t.decided_at
FROM core.sim_states AS t JOIN core.sims AS s USING (sim_key)
UNION ALL
SELECT o.organization_id, o.iccid, NULL, 'ordered', (o.ordered_at AT TIME ZONE 'UTC')::date, NULL,
       'In order ' || o.order_number || ' of ' || (o.ordered_at AT TIME ZONE 'UTC')::date || ', not in the SIM list yet.',
       (o.ordered_at AT TIME ZONE 'UTC')::date, 'order ' || o.order_number, o.changed_at
FROM (
    SELECT DISTINCT ON (b.organization_id, i.iccid) b.organization_id, i.iccid, b.order_number, b.ordered_at, b.changed_at
    FROM core.orders AS b CROSS JOIN LATERAL unnest(b.iccids) AS i (iccid)
    WHERE b.order_type IN ('FIRST_ORDER', 'ADDITIONAL_ORDER') AND b.ordered_at IS NOT NULL
    ORDER BY b.organization_id, i.iccid, b.ordered_at
) AS o
WHERE NOT EXISTS (SELECT FROM core.sims AS s WHERE s.organization_id = o.organization_id AND s.iccid = o.iccid);
COMMENT ON VIEW core.sim_states_v1 IS 'One row a SIM: the state of its life now, since when and on what evidence. SIMs that are ordered and not listed yet are in it, with the order as evidence';

CREATE VIEW core.sim_lifecycle_v1 WITH (security_invoker = true) AS
SELECT l.organization_id, s.iccid, l.entry_id, l.occurred_on, l.kind, l.from_value, l.to_value, l.evidence, l.as_of,
       l.decided_by, l.decided_at
FROM core.sim_lifecycle AS l JOIN core.sims AS s USING (sim_key);
COMMENT ON VIEW core.sim_lifecycle_v1 IS 'One row an entry in the life of a SIM: a state it entered, a change of device or country, a top-up. In order by occurred_on, entry_id';

CREATE OR REPLACE VIEW core.sims_v1 WITH (security_invoker = true) AS
SELECT s.organization_id, s.iccid, s.imei, s.msisdn, s.ip_address, coalesce(s.own_label, s.label) AS label, s.status, s.activated_at,
       s.quota_status, s.quota_total / 1e6::numeric AS quota_total_mb, s.changed_at, t.state, t.since AS state_since
FROM core.sims AS s LEFT JOIN core.sim_states AS t USING (sim_key);
COMMENT ON VIEW core.sims_v1 IS 'One row a SIM. quota_total_mb: MB of the whole data quota; state: of its life, NULL until it is first evaluated';

GRANT SELECT ON core.sim_states_v1, core.sim_lifecycle_v1 TO simsight_pipeline, simsight_api;
