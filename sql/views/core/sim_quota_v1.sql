CREATE OR REPLACE VIEW core.sim_quota_v1 WITH (security_invoker = true) AS
SELECT
    q.organization_id,
    s.iccid,
    q.kind,
    q.day,
    q.amount_left,
    q.amount_total,
    q.expires_at,
    q.observed_at,
    q.amount_accumulated
FROM own.sim_quota AS q
JOIN core.sims AS s USING (sim_key);

COMMENT ON VIEW core.sim_quota_v1 IS
    'One row a SIM, kind of quota and day. Amounts: bytes (millionths of a MB) or messages. '
    'amount_accumulated: all that was ever provisioned, where 1NCE says it';
COMMENT ON COLUMN core.sim_quota_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN core.sim_quota_v1.iccid IS 'ICCID of the SIM: 19 digits, without the check digit';
COMMENT ON COLUMN core.sim_quota_v1.kind IS 'data or sms';
COMMENT ON COLUMN core.sim_quota_v1.day IS 'UTC day of the observation';
COMMENT ON COLUMN core.sim_quota_v1.amount_left IS 'What is left: bytes (millionths of a MB) for data, messages for sms; may be negative';
COMMENT ON COLUMN core.sim_quota_v1.amount_total IS
    'What was left plus what was added at the last top-up, same unit: total minus left is not what was used in all';
COMMENT ON COLUMN core.sim_quota_v1.expires_at IS 'When the SIM expires (UTC)';
COMMENT ON COLUMN core.sim_quota_v1.observed_at IS 'When it was observed (UTC)';
COMMENT ON COLUMN core.sim_quota_v1.amount_accumulated IS
    'All that was ever provisioned or topped up, same unit: accumulated minus left is what was used in all; NULL: API v1 does not say it';

GRANT SELECT ON core.sim_quota_v1 TO simsight_pipeline, simsight_api;
