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
COMMENT ON COLUMN core.sim_usage_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN core.sim_usage_v1.iccid IS 'ICCID of the SIM: 19 digits, without the check digit';
COMMENT ON COLUMN core.sim_usage_v1.day IS 'UTC day';
COMMENT ON COLUMN core.sim_usage_v1.bytes IS 'Data volume of the day in bytes (millionths of a MB), received and sent';
COMMENT ON COLUMN core.sim_usage_v1.bytes_rx IS
    'Of these, received by the device, in bytes; sent is the difference; NULL where a file did not say';
COMMENT ON COLUMN core.sim_usage_v1.bytes_tx IS 'Of these, sent by the device, in bytes; NULL as bytes_rx';
COMMENT ON COLUMN core.sim_usage_v1.mb IS 'bytes in MB (1 MB is a million bytes)';
COMMENT ON COLUMN core.sim_usage_v1.sms_mt IS 'SMS to the device (mobile terminated); NULL where a file did not say';
COMMENT ON COLUMN core.sim_usage_v1.sms_mo IS 'SMS from the device (mobile originated); NULL where a file did not say';
COMMENT ON COLUMN core.sim_usage_v1.known_at IS 'Since when this value is known (UTC); a correction moves it';
COMMENT ON COLUMN core.sim_usage_v1.mb_rx IS 'bytes_rx in MB';
COMMENT ON COLUMN core.sim_usage_v1.source IS
    'Best source that knows the day: call (1NCE''s daily usage call), file, stream (Data Streamer) or quota (difference between two looks at the quota)';
COMMENT ON COLUMN core.sim_usage_v1.grade IS
    'A: known exactly; B: known but for an outage of the stream or the hours of a look; C: only the sum of the days spread_from to spread_to is known';
COMMENT ON COLUMN core.sim_usage_v1.spread_from IS
    'First day of the stretch of which only the sum is known and over whose unknown days it was spread; NULL: the day itself is known';
COMMENT ON COLUMN core.sim_usage_v1.spread_to IS 'Last day of that stretch; NULL as spread_from';
COMMENT ON COLUMN core.sim_usage_v1.sms_unsplit IS
    'SMS whose direction the source does not say, to or from the device; NULL where it says it, and where it counts none';

GRANT SELECT ON core.sim_usage_v1 TO simsight_pipeline, simsight_api;
