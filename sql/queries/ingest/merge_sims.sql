-- The SIM list: one row a SIM. changed_at moves only when something changed.
-- staged: iccid text, iccid_with_luhn text, imsi text, msisdn text, imei text, imei_lock boolean, status text, activated_at timestamptz, ip_address text, label text, quota_status smallint, quota_total bigint, sms_quota_status smallint, sms_quota_total integer, first_seen_at timestamptz, changed_at timestamptz
WITH compared AS (
    SELECT s.*, t.organization_id IS NULL AS is_new,
           t.organization_id IS NOT NULL
               AND (s.iccid_with_luhn, s.imsi, s.msisdn, s.imei, s.imei_lock, s.status, s.activated_at, s.ip_address, s.label, s.quota_status, s.quota_total, s.sms_quota_status, s.sms_quota_total)
               IS DISTINCT FROM (t.iccid_with_luhn, t.imsi, t.msisdn, t.imei, t.imei_lock, t.status, t.activated_at, t.ip_address, t.label, t.quota_status, t.quota_total, t.sms_quota_status, t.sms_quota_total) AS is_changed
    FROM staged AS s LEFT JOIN core.sims AS t ON t.organization_id = (SELECT ops.current_organization()) AND t.iccid = s.iccid
), written AS (
    INSERT INTO core.sims (organization_id, iccid, iccid_with_luhn, imsi, msisdn, imei, imei_lock, status, activated_at, ip_address, label, quota_status, quota_total, sms_quota_status, sms_quota_total, first_seen_at, changed_at)
    SELECT (SELECT ops.current_organization()), iccid, iccid_with_luhn, imsi, msisdn, imei, imei_lock, status, activated_at, ip_address, label, quota_status, quota_total, sms_quota_status, sms_quota_total, first_seen_at, changed_at
    FROM compared WHERE is_new OR is_changed
    ON CONFLICT (organization_id, iccid) DO UPDATE SET
        iccid_with_luhn = excluded.iccid_with_luhn,
        imsi = excluded.imsi,
        msisdn = excluded.msisdn,
        imei = excluded.imei,
        imei_lock = excluded.imei_lock,
        status = excluded.status,
        activated_at = excluded.activated_at,
        ip_address = excluded.ip_address,
        label = excluded.label,
        quota_status = excluded.quota_status,
        quota_total = excluded.quota_total,
        sms_quota_status = excluded.sms_quota_status,
        sms_quota_total = excluded.sms_quota_total,
        changed_at = excluded.changed_at
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
