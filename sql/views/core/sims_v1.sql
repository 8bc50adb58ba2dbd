CREATE OR REPLACE VIEW core.sims_v1 WITH (security_invoker = true) AS
SELECT
    s.organization_id,
    s.iccid,
    s.imei,
    s.msisdn,
    s.ip_address,
    coalesce(s.own_label, s.label) AS label,  -- the customer's own name, or else 1NCE's
    s.status,
    s.activated_at,
    s.quota_status,
    s.quota_total / 1e6::numeric AS quota_total_mb,
    s.changed_at,
    t.state,
    t.since AS state_since
FROM core.sims AS s
LEFT JOIN core.sim_states AS t USING (sim_key);

COMMENT ON VIEW core.sims_v1 IS
    'One row a SIM. quota_total_mb: MB of the whole data quota; state: of its life, NULL until it is first evaluated';

GRANT SELECT ON core.sims_v1 TO simsight_pipeline, simsight_api;
