-- The life of a SIM: its present state, and the history of states, devices, countries and top-ups with the evidence.
SET LOCAL ROLE simsight_owner;

CREATE TABLE core.sim_states (
    sim_key integer PRIMARY KEY REFERENCES core.sims,
    organization_id smallint NOT NULL,
    state text NOT NULL CHECK (state IN ('issued', 'activated', 'active', 'silent', 'suspended', 'expired', 'deactivated')),
    since date NOT NULL,
    evidence text NOT NULL,
    decided_as_of date NOT NULL,
    decided_by text NOT NULL,
    decided_at timestamptz NOT NULL
);
COMMENT ON TABLE core.sim_states IS 'One row a SIM: the state it is in; written only when the state changes';
COMMENT ON COLUMN core.sim_states.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN core.sim_states.organization_id IS 'Organization';
COMMENT ON COLUMN core.sim_states.state IS 'issued, activated, active, silent, suspended, expired or deactivated, see docs/lifecycle.md';
COMMENT ON COLUMN core.sim_states.since IS 'UTC day since which it is in this state';
COMMENT ON COLUMN core.sim_states.evidence IS 'Why, in a sentence';
COMMENT ON COLUMN core.sim_states.decided_as_of IS 'Last complete day that the decision knew';
COMMENT ON COLUMN core.sim_states.decided_by IS 'Who decided: the state machine and its version';
COMMENT ON COLUMN core.sim_states.decided_at IS 'When (UTC)';
CREATE INDEX sim_states_by_state ON core.sim_states (organization_id, state);
SELECT ops.guard('core.sim_states');

CREATE TABLE core.sim_lifecycle (
    lifecycle_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL,
    sim_key integer NOT NULL REFERENCES core.sims,
    kind text NOT NULL CHECK (kind IN ('state', 'imei_change', 'country_change', 'top_up')),
    occurred_on date NOT NULL,
    from_value text,
    to_value text NOT NULL,
    evidence text NOT NULL,
    decided_by text NOT NULL,
    decided_at timestamptz NOT NULL,
    UNIQUE (sim_key, kind, occurred_on, to_value)
);
COMMENT ON TABLE core.sim_lifecycle IS 'One row a thing that happened in the life of a SIM';
COMMENT ON COLUMN core.sim_lifecycle.lifecycle_id IS 'Key';
COMMENT ON COLUMN core.sim_lifecycle.organization_id IS 'Organization';
COMMENT ON COLUMN core.sim_lifecycle.sim_key IS 'SIM (core.sims)';
COMMENT ON COLUMN core.sim_lifecycle.kind IS 'state: it came into another state; imei_change: another device; country_change: another country; top_up: volume was bought';
COMMENT ON COLUMN core.sim_lifecycle.occurred_on IS 'UTC day it happened';
COMMENT ON COLUMN core.sim_lifecycle.from_value IS 'State, IMEI or country before; NULL: none known';
COMMENT ON COLUMN core.sim_lifecycle.to_value IS 'State, IMEI or country after; of a top-up data or sms';
COMMENT ON COLUMN core.sim_lifecycle.evidence IS 'What shows it, in a sentence';
COMMENT ON COLUMN core.sim_lifecycle.decided_by IS 'Who decided: the state machine and its version';
COMMENT ON COLUMN core.sim_lifecycle.decided_at IS 'When (UTC)';
SELECT ops.guard('core.sim_lifecycle');
GRANT USAGE ON ALL SEQUENCES IN SCHEMA core TO simsight_pipeline;

CREATE VIEW core.sim_lifecycle_v1 WITH (security_invoker = true) AS
SELECT l.organization_id, s.iccid, l.lifecycle_id, l.kind, l.occurred_on, l.from_value, l.to_value, l.evidence, l.decided_by, l.decided_at
FROM core.sim_lifecycle AS l JOIN core.sims AS s USING (sim_key);
COMMENT ON VIEW core.sim_lifecycle_v1 IS 'One row a thing that happened in the life of a SIM: states, devices, countries, top-ups';

CREATE VIEW core.sim_states_v1 WITH (security_invoker = true) AS
SELECT t.organization_id, s.iccid, t.state, t.since, t.evidence, t.decided_as_of, t.decided_by, t.decided_at
FROM core.sim_states AS t JOIN core.sims AS s USING (sim_key)
UNION ALL
SELECT o.organization_id, ordered.iccid, 'ordered', min(o.ordered_at)::date, 'order ' || min(o.order_number) || ', not in the SIM list yet',
       NULL, NULL, NULL
FROM core.orders AS o CROSS JOIN LATERAL unnest(o.iccids) AS ordered (iccid)
WHERE NOT EXISTS (SELECT FROM core.sims AS s WHERE s.organization_id = o.organization_id AND s.iccid = ordered.iccid)
GROUP BY o.organization_id, ordered.iccid;
COMMENT ON VIEW core.sim_states_v1 IS 'One row a SIM: the state it is in. SIMs that only stand in an order are ordered';

CREATE OR REPLACE VIEW core.sims_v1 WITH (security_invoker = true) AS
SELECT s.organization_id, s.iccid, s.imei, s.msisdn, s.ip_address, coalesce(s.own_label, s.label) AS label, s.status, s.activated_at,
       s.quota_status, s.quota_total / 1e6::numeric AS quota_total_mb, s.changed_at, t.state, t.since AS state_since
FROM core.sims AS s LEFT JOIN core.sim_states AS t USING (sim_key);
GRANT SELECT ON core.sim_lifecycle_v1, core.sim_states_v1 TO simsight_pipeline, simsight_api;
