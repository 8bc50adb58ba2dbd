-- Files bring more than usage: a customer's own names for SIMs win over 1NCE's wherever a label is shown.
SET LOCAL ROLE simsight_owner;

ALTER TABLE core.sims ADD COLUMN own_label text;
COMMENT ON COLUMN core.sims.own_label IS 'The customer''s own name, imported from a file; shown in the place of label, which ingest overwrites. NULL: none';
COMMENT ON COLUMN core.sims.label IS 'Label by the SIM list';
COMMENT ON COLUMN raw.landings.body IS 'The body as it came; a file that is no text in base64, of a very large file only its size and SHA-256';

CREATE OR REPLACE VIEW core.sims_v1 WITH (security_invoker = true) AS
SELECT s.organization_id, s.iccid, s.imei, s.msisdn, s.ip_address, coalesce(s.own_label, s.label) AS label, s.status, s.activated_at,
       s.quota_status, s.quota_total / 1e6::numeric AS quota_total_mb, s.changed_at
FROM core.sims AS s;
COMMENT ON VIEW core.sims_v1 IS 'One row a SIM. label: the customer''s own name or else 1NCE''s; quota_total_mb: MB of the whole data quota';

-- mb and mb_rx are what a usage import takes: an export can be imported elsewhere
CREATE OR REPLACE VIEW core.sim_usage_v1 WITH (security_invoker = true) AS
SELECT u.organization_id, s.iccid, u.day, u.bytes, u.bytes_rx, u.bytes - u.bytes_rx AS bytes_tx,
       u.bytes / 1e6::numeric AS mb, u.sms_mt, u.sms_mo, u.known_at, u.bytes_rx / 1e6::numeric AS mb_rx
FROM core.sim_usage AS u JOIN core.sims AS s USING (sim_key);
COMMENT ON VIEW core.sim_usage_v1 IS 'One row a SIM and UTC day. bytes: millionths of a MB; mb: the same in MB; _rx: received by the device';

CREATE OR REPLACE VIEW predictions.exhaustions_v1 WITH (security_invoker = true) AS
SELECT e.organization_id, s.iccid, coalesce(s.own_label, s.label) AS label, e.as_of, e.status, e.cause, e.p_7, e.p_14, e.p_30,
       e.p10_date, e.p50_date, e.p90_date, e.remaining, e.expires_on,
       r.model_name, r.model_version, r.run_id, r.created_at, e.data_age_hours, substr('ABCD', e.data_grade, 1) AS data_grade
FROM predictions.exhaustions AS e
JOIN core.sims AS s USING (sim_key)
JOIN predictions.scorings AS r USING (scoring_id);

CREATE OR REPLACE VIEW predictions.alerts_v1 WITH (security_invoker = true) AS
SELECT a.organization_id, a.alert_id, s.iccid, coalesce(s.own_label, s.label) AS label, a.kind, a.severity, a.value, a.threshold,
       a.message, a.opened_as_of, a.opened_at, a.seen_as_of, a.closed_as_of, a.closed_at,
       r.model_name, r.model_version, r.run_id
FROM predictions.alerts AS a
JOIN core.sims AS s USING (sim_key)
LEFT JOIN predictions.scorings AS r USING (scoring_id);
