CREATE OR REPLACE VIEW core.sim_usage_corrections_v1 WITH (security_invoker = true) AS
SELECT
    r.organization_id,
    s.iccid,
    r.day,
    r.bytes,
    r.bytes_rx,
    r.sms_mt,
    r.sms_mo,
    r.known_from,
    r.known_to,
    r.source,
    r.grade
FROM core.sim_usage_replaced AS r
JOIN core.sims AS s USING (sim_key);

COMMENT ON VIEW core.sim_usage_corrections_v1 IS
    'One row a value of a closed SIM-day that a later one replaced: what was believed, from when to when (UTC). '
    'bytes: millionths of a MB';

GRANT SELECT ON core.sim_usage_corrections_v1 TO simsight_pipeline, simsight_api;
