-- SIMs from a file: a new one is added; of a known one only what the file gives changes, nothing becomes empty.
-- staged: iccid text, iccid_with_luhn text, imei text, msisdn text, imsi text, ip_address text, label text, status text, activated_at timestamptz, known_at timestamptz
WITH compared AS (
    SELECT s.*, t.organization_id IS NULL AS is_new,
           t.organization_id IS NOT NULL
               AND (coalesce(s.iccid_with_luhn, t.iccid_with_luhn), coalesce(s.imei, t.imei), coalesce(s.msisdn, t.msisdn),
                    coalesce(s.imsi, t.imsi), coalesce(s.ip_address, t.ip_address), coalesce(s.label, t.label),
                    coalesce(s.status, t.status), coalesce(s.activated_at, t.activated_at))
               IS DISTINCT FROM (t.iccid_with_luhn, t.imei, t.msisdn, t.imsi, t.ip_address, t.label, t.status, t.activated_at)
               AS is_changed
    FROM staged AS s LEFT JOIN core.sims AS t ON t.organization_id = (SELECT ops.current_organization()) AND t.iccid = s.iccid
), written AS (
    INSERT INTO core.sims AS t (organization_id, iccid, iccid_with_luhn, imei, msisdn, imsi, ip_address, label, status, activated_at,
                                first_seen_at, changed_at)
    SELECT (SELECT ops.current_organization()), iccid, iccid_with_luhn, imei, msisdn, imsi, ip_address, label, status, activated_at,
           known_at, known_at
    FROM compared WHERE is_new OR is_changed
    ON CONFLICT (organization_id, iccid) DO UPDATE SET
        iccid_with_luhn = coalesce(excluded.iccid_with_luhn, t.iccid_with_luhn),
        imei = coalesce(excluded.imei, t.imei),
        msisdn = coalesce(excluded.msisdn, t.msisdn),
        imsi = coalesce(excluded.imsi, t.imsi),
        ip_address = coalesce(excluded.ip_address, t.ip_address),
        label = coalesce(excluded.label, t.label),
        status = coalesce(excluded.status, t.status),
        activated_at = coalesce(excluded.activated_at, t.activated_at),
        changed_at = excluded.changed_at
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
