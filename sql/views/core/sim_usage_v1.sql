-- mb and mb_rx are what a usage import takes: an export can be imported elsewhere.
CREATE OR REPLACE VIEW core.sim_usage_v1 WITH (security_invoker = true) AS
SELECT
    u.organization_id,
    s.iccid,
    u.day,
    u.bytes,
    u.bytes_rx,
    u.bytes - u.bytes_rx AS bytes_tx,
    u.bytes / 1e6::numeric AS mb,
    u.sms_mt,
    u.sms_mo,
    u.known_at,
    u.bytes_rx / 1e6::numeric AS mb_rx,
    core.usage_source(u.source) AS source,
    u.grade::text AS grade,
    u.spread_from,
    u.spread_to,
    u.sms_unsplit
FROM own.sim_usage AS u
JOIN core.sims AS s USING (sim_key);

COMMENT ON VIEW core.sim_usage_v1 IS
    'One row a SIM and UTC day, from the best source that knows it. '
    'bytes: millionths of a MB; mb: the same in MB; _rx: received by the device. '
    'source: call (daily usage call), file, stream (Data Streamer) or quota (difference between looks at the quota). '
    'grade: A exact, B known, C only the sum of the days spread_from to spread_to is known. '
    'sms_unsplit: messages whose direction the source does not say';

GRANT SELECT ON core.sim_usage_v1 TO simsight_pipeline, simsight_api;
