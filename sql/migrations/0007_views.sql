-- The views downstream apps read. Their columns are a contract: a column may be added, a change needs a new view.
SET LOCAL ROLE simsight_owner;

CREATE VIEW core.sims_v1 WITH (security_invoker = true) AS
SELECT s.organization_id, s.iccid, s.imei, s.msisdn, s.ip_address, s.label, s.status, s.activated_at,
       s.quota_status, s.quota_total / 1e6::numeric AS quota_total_mb, s.changed_at
FROM core.sims AS s;
COMMENT ON VIEW core.sims_v1 IS 'One row a SIM. quota_total_mb: MB of the whole data quota';

CREATE VIEW core.sim_usage_v1 WITH (security_invoker = true) AS
SELECT u.organization_id, s.iccid, u.day, u.bytes, u.bytes_rx, u.bytes - u.bytes_rx AS bytes_tx,
       u.bytes / 1e6::numeric AS mb, u.sms_mt, u.sms_mo, u.known_at
FROM core.sim_usage AS u JOIN core.sims AS s USING (sim_key);
COMMENT ON VIEW core.sim_usage_v1 IS 'One row a SIM and UTC day. bytes: millionths of a MB; mb: the same in MB';

CREATE VIEW core.sim_quota_v1 WITH (security_invoker = true) AS
SELECT q.organization_id, s.iccid, q.kind, q.day, q.amount_left, q.amount_total, q.expires_at, q.observed_at
FROM core.sim_quota AS q JOIN core.sims AS s USING (sim_key);
COMMENT ON VIEW core.sim_quota_v1 IS 'One row a SIM, kind of quota and day. Amounts: bytes (millionths of a MB) or messages';

CREATE VIEW core.sim_events_v1 WITH (security_invoker = true) AS
SELECT e.organization_id, s.iccid, e.occurred_at, e.event_type, e.severity, e.alert, e.imei, e.country, e.operator
FROM core.sim_events AS e JOIN core.sims AS s USING (sim_key);
COMMENT ON VIEW core.sim_events_v1 IS 'One row an event of a SIM';

CREATE VIEW predictions.usage_forecasts_v1 WITH (security_invoker = true) AS
SELECT f.organization_id, s.iccid, f.as_of, f.day, f.mean, f.q025, f.q10, f.q50, f.q90, f.q975,
       r.model_name, r.model_version, r.run_id, r.created_at
FROM predictions.usage_forecasts AS f
JOIN core.sims AS s USING (sim_key)
JOIN predictions.scorings AS r USING (scoring_id);
COMMENT ON VIEW predictions.usage_forecasts_v1 IS 'One row a SIM, as-of day and day ahead; mean and quantiles in bytes (millionths of a MB)';

CREATE VIEW predictions.exhaustions_v1 WITH (security_invoker = true) AS
SELECT e.organization_id, s.iccid, s.label, e.as_of, e.status, e.cause, e.p_7, e.p_14, e.p_30,
       e.p10_date, e.p50_date, e.p90_date, e.remaining, e.expires_on,
       r.model_name, r.model_version, r.run_id, r.created_at
FROM predictions.exhaustions AS e
JOIN core.sims AS s USING (sim_key)
JOIN predictions.scorings AS r USING (scoring_id);
COMMENT ON VIEW predictions.exhaustions_v1 IS 'One row a SIM and as-of day: probability and dates of the end; remaining in bytes (millionths of a MB)';

CREATE VIEW predictions.alerts_v1 WITH (security_invoker = true) AS
SELECT a.organization_id, a.alert_id, s.iccid, s.label, a.kind, a.severity, a.value, a.threshold, a.message,
       a.opened_as_of, a.opened_at, a.seen_as_of, a.closed_as_of, a.closed_at,
       r.model_name, r.model_version, r.run_id
FROM predictions.alerts AS a
JOIN core.sims AS s USING (sim_key)
LEFT JOIN predictions.scorings AS r USING (scoring_id);
COMMENT ON VIEW predictions.alerts_v1 IS 'One row an alert; open while closed_at is NULL';

GRANT SELECT ON core.sims_v1, core.sim_usage_v1, core.sim_quota_v1, core.sim_events_v1, predictions.usage_forecasts_v1,
    predictions.exhaustions_v1, predictions.alerts_v1 TO simsight_pipeline, simsight_api;
