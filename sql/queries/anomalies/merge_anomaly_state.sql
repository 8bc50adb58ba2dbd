-- The limits of the days under way, one row a SIM; an older as-of day does not replace a newer one.
-- staged: sim_key integer, bytes_limits text, bytes_usual text, sms_limit integer, sessions_limit integer, imei text, countries text, operators text, device_type text, label_prefix text, country text, operator text, batch text, as_of date, model_version integer, now timestamptz
-- lock: anomaly state
WITH written AS (
    INSERT INTO predictions.anomaly_state AS t
        (organization_id, sim_key, as_of, model_version, bytes_limits, bytes_usual, sms_limit, sessions_limit, imei, countries, operators,
         device_type, label_prefix, country, operator, batch, prepared_at)
    SELECT (SELECT ops.current_organization()), sim_key, as_of, model_version, bytes_limits::bigint[], bytes_usual::bigint[], sms_limit, sessions_limit,
           imei, countries::text[], operators::text[], device_type, label_prefix, country, operator, batch, now
    FROM staged
    ON CONFLICT (sim_key) DO UPDATE SET
        as_of = excluded.as_of, model_version = excluded.model_version, bytes_limits = excluded.bytes_limits, bytes_usual = excluded.bytes_usual,
        sms_limit = excluded.sms_limit, sessions_limit = excluded.sessions_limit, imei = excluded.imei, countries = excluded.countries,
        operators = excluded.operators, device_type = excluded.device_type, label_prefix = excluded.label_prefix, country = excluded.country,
        operator = excluded.operator, batch = excluded.batch, prepared_at = excluded.prepared_at
    WHERE t.as_of <= excluded.as_of AND (t.as_of, t.model_version, t.bytes_limits, t.bytes_usual, t.sms_limit, t.sessions_limit, t.imei, t.countries, t.operators,
                                       t.device_type, t.label_prefix, t.country, t.operator, t.batch)
        IS DISTINCT FROM (excluded.as_of, excluded.model_version, excluded.bytes_limits, excluded.bytes_usual, excluded.sms_limit,
                          excluded.sessions_limit, excluded.imei, excluded.countries, excluded.operators,
                          excluded.device_type, excluded.label_prefix, excluded.country, excluded.operator, excluded.batch)
    RETURNING xmax = 0 AS is_new
)
SELECT (SELECT count(*) FROM written WHERE is_new) AS new, (SELECT count(*) FROM written WHERE NOT is_new) AS changed,
       (SELECT count(*) FROM staged) - (SELECT count(*) FROM written) AS unchanged;
