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
    'One row a UTC day with usage: what the fleet used. sims: SIMs whose usage of the day is known; active_sims: those that used data; '
    'bytes: millionths of a MB; mb: the same in MB; sms: to and from devices. It stays when SIMSIGHT_USAGE_DAYS deletes the rows of the SIMs';

GRANT SELECT ON core.fleet_days_v1 TO simsight_pipeline, simsight_api;
