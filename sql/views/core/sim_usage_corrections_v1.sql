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
COMMENT ON COLUMN core.sim_usage_corrections_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN core.sim_usage_corrections_v1.iccid IS 'ICCID of the SIM: 19 digits, without the check digit';
COMMENT ON COLUMN core.sim_usage_corrections_v1.day IS 'UTC day';
COMMENT ON COLUMN core.sim_usage_corrections_v1.bytes IS 'Volume of the day in bytes (millionths of a MB) as known then';
COMMENT ON COLUMN core.sim_usage_corrections_v1.bytes_rx IS 'Of these, received by the device, as known then; NULL: not said';
COMMENT ON COLUMN core.sim_usage_corrections_v1.sms_mt IS 'SMS to the device as known then; NULL: not said';
COMMENT ON COLUMN core.sim_usage_corrections_v1.sms_mo IS 'SMS from the device as known then; NULL: not said';
COMMENT ON COLUMN core.sim_usage_corrections_v1.known_from IS 'When this value came (UTC)';
COMMENT ON COLUMN core.sim_usage_corrections_v1.known_to IS 'When another one replaced it (UTC)';
COMMENT ON COLUMN core.sim_usage_corrections_v1.source IS 'Where this value came from: call, file, stream or quota, as in sim_usage_v1';
COMMENT ON COLUMN core.sim_usage_corrections_v1.grade IS
    'How well it was known: A exactly, B but for hours or an outage, C only as the sum of several days';

GRANT SELECT ON core.sim_usage_corrections_v1 TO simsight_pipeline, simsight_api;
