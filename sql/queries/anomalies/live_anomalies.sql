-- Anomalies of the days under way: what the stream brought since %(since)s (timestamptz) is added up a SIM and day and held against the
-- limits prepared with the closed days. Those known are not written again, but for a higher value. %(now)s timestamptz, %(score)s the score
-- of the limit. One statement over all SIMs that were heard of. Indexes stream_usage_by_sim, sim_events primary key, anomaly_state primary key.
WITH heard AS (
    SELECT DISTINCT sim_key, day FROM own.stream_usage
    WHERE known_at > %(since)s AND day >= (%(now)s::timestamptz AT TIME ZONE 'UTC')::date - 2
    UNION
    SELECT DISTINCT sim_key, (occurred_at AT TIME ZONE 'UTC')::date FROM own.sim_events
    WHERE record_id IS NOT NULL AND occurred_at > %(since)s::timestamptz - interval '1 day' AND occurred_at <= %(now)s
), about AS (
    SELECT h.sim_key, h.day, t.as_of, t.model_version, t.sms_limit, t.sessions_limit, t.imei, t.countries, t.operators,
           t.bytes_limits[extract(isodow FROM h.day)::integer] AS bytes_limit,
           t.bytes_usual[extract(isodow FROM h.day)::integer] AS bytes_usual
    FROM heard AS h JOIN predictions.anomaly_state AS t USING (sim_key)
    WHERE h.day > t.as_of
), used AS (
    SELECT a.sim_key, a.day, sum(u.bytes)::bigint AS bytes, sum(u.sms)::bigint AS sms
    FROM about AS a JOIN own.stream_usage AS u USING (sim_key, day) GROUP BY a.sim_key, a.day
), seen AS (
    SELECT a.sim_key, a.day, count(*) FILTER (WHERE e.event_type ILIKE 'create pdp%%') AS sessions,
           (array_agg(e.imei ORDER BY e.occurred_at DESC) FILTER (WHERE e.imei IS NOT NULL))[1] AS imei,
           (array_agg(e.country ORDER BY e.occurred_at DESC) FILTER (WHERE e.country IS NOT NULL))[1] AS country,
           (array_agg(e.operator ORDER BY e.occurred_at DESC) FILTER (WHERE e.operator IS NOT NULL))[1] AS operator
    FROM about AS a JOIN own.sim_events AS e
        ON e.sim_key = a.sim_key AND e.occurred_at >= a.day::timestamp AT TIME ZONE 'UTC'
           AND e.occurred_at < (a.day + 1)::timestamp AT TIME ZONE 'UTC'
    GROUP BY a.sim_key, a.day
), found AS (
    SELECT a.sim_key, a.day, a.as_of, a.model_version, k.*
    FROM about AS a LEFT JOIN used AS u USING (sim_key, day) LEFT JOIN seen AS s USING (sim_key, day)
    CROSS JOIN LATERAL (VALUES
        ('spike', u.bytes > a.bytes_limit, u.bytes::double precision, a.bytes_usual::double precision, 'bytes',
         format('%%s MB so far on %%s, above the %%s MB that are still usual for this SIM on such a day.', round(u.bytes / 1e6, 2),
                to_char(a.day, 'FMDD FMMonth'), round(a.bytes_limit / 1e6, 2))),
        ('sms_flood', u.sms > a.sms_limit, u.sms::double precision, NULL, 'messages',
         format('%%s SMS so far on %%s; up to %%s a day are usual for this SIM.', u.sms, to_char(a.day, 'FMDD FMMonth'), a.sms_limit)),
        ('flapping', s.sessions > a.sessions_limit, s.sessions::double precision, NULL, 'sessions',
         format('%%s data sessions so far on %%s; up to %%s a day are usual for this SIM.', s.sessions, to_char(a.day, 'FMDD FMMonth'), a.sessions_limit)),
        ('imei_change', left(s.imei, 8) <> left(a.imei, 8), NULL, NULL, NULL, -- one of the same type takes the place of a broken one
         format('It is in a device of another type since %%s: IMEI %%s instead of %%s.', to_char(a.day, 'FMDD FMMonth'), s.imei, a.imei)),
        ('unexpected_country', cardinality(a.countries) > 0 AND NOT s.country = ANY(a.countries), NULL, NULL, NULL,
         format('On %%s it is in %%s, where neither it nor its device type is expected.', to_char(a.day, 'FMDD FMMonth'), s.country)),
        ('unexpected_operator', cardinality(a.operators) > 0 AND s.country = ANY(a.countries) AND NOT s.operator = ANY(a.operators), NULL, NULL, NULL,
         format('On %%s it is on the network of %%s, where it has not been.', to_char(a.day, 'FMDD FMMonth'), s.operator))
    ) AS k (kind, holds, value, expected, unit, reasons)
    WHERE k.holds
), written AS (
    INSERT INTO predictions.anomalies AS t
        (organization_id, sim_key, day, kind, score, severity, reasons, value, expected, unit, first_day, incident_id, model_version, as_of,
         detected_at, live)
    SELECT (SELECT ops.current_organization()), sim_key, day, kind, %(score)s,
           CASE WHEN kind IN ('imei_change', 'unexpected_country') OR value > 10 * expected THEN 'critical' ELSE 'warning' END,
           reasons, value, expected, unit, day, NULL, model_version, as_of, %(now)s, true
    FROM found
    ON CONFLICT (sim_key, day, kind) DO UPDATE SET value = excluded.value, reasons = excluded.reasons, severity = excluded.severity
    WHERE t.live AND excluded.value > t.value
    RETURNING kind, xmax = 0 AS is_new
)
SELECT kind, count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE NOT is_new) AS changed FROM written GROUP BY kind ORDER BY kind;
