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
    t.since AS state_since,
    -- each looked up for the rows that are asked for, by primary keys
    (
        SELECT q.amount_left / 1e6::numeric FROM own.sim_quota AS q
        WHERE q.sim_key = s.sim_key AND q.kind = 'data' ORDER BY q.day DESC LIMIT 1
    ) AS remaining_mb,
    (
        SELECT u.day FROM own.sim_usage AS u
        WHERE u.sim_key = s.sim_key AND (u.bytes > 0 OR u.sms_mt > 0 OR u.sms_mo > 0 OR u.sms_unsplit > 0)
        ORDER BY u.day DESC LIMIT 1
    ) AS last_used_on,
    (
        SELECT c.country FROM own.sim_connectivity AS c
        WHERE c.sim_key = s.sim_key AND c.country IS NOT NULL ORDER BY c.day DESC LIMIT 1
    ) AS country,
    (
        SELECT
            CASE
                WHEN e.status = 'not_enough_evidence' AND e.p_30 = 1 AND e.expires_on IS NOT NULL THEN e.expires_on
                ELSE e.p50_date
            END
        FROM predictions.exhaustions AS e
        WHERE e.sim_key = s.sim_key ORDER BY e.as_of DESC LIMIT 1
    ) AS ends_on,
    (
        SELECT c.operator FROM own.sim_connectivity AS c
        WHERE c.sim_key = s.sim_key AND c.operator IS NOT NULL ORDER BY c.day DESC LIMIT 1
    ) AS operator,
    (
        SELECT u.day FROM own.sim_usage AS u
        WHERE u.sim_key = s.sim_key ORDER BY u.day LIMIT 1
    ) AS first_usage_on
FROM core.sims AS s
LEFT JOIN core.sim_states AS t USING (sim_key);

COMMENT ON VIEW core.sims_v1 IS
    'One row a SIM. quota_total_mb: MB of the whole data quota; state: of its life, NULL until it is first evaluated. '
    'remaining_mb: data volume left when 1NCE was last asked; last_used_on: last UTC day with data or SMS; '
    'country, operator: where it was last seen; ends_on: median day of its end by the latest prediction; '
    'first_usage_on: first UTC day with a record of usage';
COMMENT ON COLUMN core.sims_v1.organization_id IS 'Organization; a session sees the rows of one';
COMMENT ON COLUMN core.sims_v1.iccid IS 'ICCID of the SIM: 19 digits, without the check digit';
COMMENT ON COLUMN core.sims_v1.imei IS 'IMEI of the device; text, because of leading zeros';
COMMENT ON COLUMN core.sims_v1.msisdn IS 'Telephone number (MSISDN)';
COMMENT ON COLUMN core.sims_v1.ip_address IS 'Static private IP address';
COMMENT ON COLUMN core.sims_v1.label IS 'Name of the SIM: the customer''s own or else 1NCE''s; NULL: it has none';
COMMENT ON COLUMN core.sims_v1.status IS 'Enabled or Disabled';
COMMENT ON COLUMN core.sims_v1.activated_at IS 'When the SIM was activated (UTC)';
COMMENT ON COLUMN core.sims_v1.quota_status IS '0: more than 20 % of the data quota left, 1: less, 2: none';
COMMENT ON COLUMN core.sims_v1.quota_total_mb IS 'The whole data quota by the SIM list, in MB';
COMMENT ON COLUMN core.sims_v1.changed_at IS 'When anything of the SIM list last changed (UTC)';
COMMENT ON COLUMN core.sims_v1.state IS 'State of its life (docs/lifecycle.md); NULL until it is first evaluated';
COMMENT ON COLUMN core.sims_v1.state_since IS 'UTC day from which it is in this state';
COMMENT ON COLUMN core.sims_v1.remaining_mb IS 'Data volume left when 1NCE was last asked, in MB; NULL: never asked';
COMMENT ON COLUMN core.sims_v1.last_used_on IS 'Last UTC day with data or SMS; NULL: never';
COMMENT ON COLUMN core.sims_v1.country IS 'Country in which it was last seen; NULL: never';
COMMENT ON COLUMN core.sims_v1.ends_on IS 'Median day of its end by the latest prediction; NULL: not known, or beyond ten years';
COMMENT ON COLUMN core.sims_v1.operator IS 'Operator on whose network it was last seen; NULL: never';
COMMENT ON COLUMN core.sims_v1.first_usage_on IS 'First UTC day with a record of usage; NULL: none';

GRANT SELECT ON core.sims_v1 TO simsight_pipeline, simsight_api;
