CREATE OR REPLACE VIEW core.fleet_days_v1 WITH (security_invoker = true) AS
SELECT
    organization_id,
    day,
    sims,
    active_sims,
    bytes,
    bytes / 1e6::numeric AS mb,
    sms
FROM core.daily_totals;

COMMENT ON VIEW core.fleet_days_v1 IS
    'One row a UTC day with usage: what the fleet used. It stays when SIMSIGHT_USAGE_DAYS deletes the rows of the SIMs';
COMMENT ON COLUMN core.fleet_days_v1.organization_id IS 'Organization of the row; a session sees its own only';
COMMENT ON COLUMN core.fleet_days_v1.day IS 'UTC day';
COMMENT ON COLUMN core.fleet_days_v1.sims IS 'SIMs whose usage of the day is known';
COMMENT ON COLUMN core.fleet_days_v1.active_sims IS 'Of these, SIMs that used data';
COMMENT ON COLUMN core.fleet_days_v1.bytes IS 'Data volume of the fleet in bytes (millionths of a MB), received and sent';
COMMENT ON COLUMN core.fleet_days_v1.mb IS 'bytes in MB (1 MB is a million bytes)';
COMMENT ON COLUMN core.fleet_days_v1.sms IS 'SMS to and from the devices';

GRANT SELECT ON core.fleet_days_v1 TO simsight_pipeline, simsight_api;
