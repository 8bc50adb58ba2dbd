-- 24 SIMs of `default` (8988280666000000001 to ...24) and 6 of `other`; usage to 2026-01-10, the day before the questions are asked.
INSERT INTO core.sims (organization_id, iccid, imei, label, status, quota_status, quota_total, first_seen_at, changed_at, activated_at)
SELECT organization_id, CASE slug WHEN 'default' THEN '89' ELSE '99' END || '88280666' || lpad(n::text, 9, '0'),
    (ARRAY['86450022', '35291111'])[1 + n % 2] || lpad(n::text, 7, '0'),
    (ARRAY['tracker-', 'meter-', 'alarm-'])[1 + n % 3] || lpad(n::text, 2, '0'),
    CASE n WHEN 23 THEN 'Disabled' ELSE 'Enabled' END, 0, 500000000, now(), now(),
    CASE WHEN n <> 22 THEN timestamptz '2025-09-01 10:00Z' + n * interval '5 days' END
FROM core.organizations, generate_series(1, CASE slug WHEN 'default' THEN 24 ELSE 6 END) AS n;

INSERT INTO core.sim_connectivity (sim_key, day, organization_id, observed_at, status, operator, country)
SELECT sim_key, date '2026-01-09', organization_id, '2026-01-09 12:00Z', 'ONLINE',
    (ARRAY['AT&T', 'Telekom', 'Orange', 'TIM'])[1 + n % 4], (ARRAY['United States', 'Germany', 'France', 'Italy'])[1 + n % 4]
FROM core.sims, LATERAL (SELECT right(iccid, 3)::integer AS n) AS a WHERE n <> 22;

INSERT INTO core.sim_states (organization_id, sim_key, state, since, evidence, as_of, decided_by, decided_at)
SELECT organization_id, sim_key,
    CASE n WHEN 20 THEN 'silent' WHEN 21 THEN 'silent' WHEN 22 THEN 'issued' WHEN 23 THEN 'suspended' WHEN 24 THEN 'expired' ELSE 'active' END,
    '2026-01-05', 'seeded', '2026-01-10', 'state machine 1', now()
FROM core.sims, LATERAL (SELECT right(iccid, 3)::integer AS n) AS a;

INSERT INTO core.sim_usage (organization_id, sim_key, day, bytes, bytes_rx, sms_mt, sms_mo, known_at)
SELECT organization_id, sim_key, day,
    CASE WHEN day = '2026-01-10' AND n = 3 THEN 1200000000 WHEN day = '2026-01-10' AND n = 8 THEN 2500000000
         WHEN day = '2026-01-10' AND n = 12 THEN 1000000000 ELSE n * 200000 * (1 + extract(doy FROM day)::integer % 3) END,
    1000, CASE WHEN n % 5 = 0 THEN 2 ELSE 0 END, CASE WHEN n % 5 = 0 THEN 1 ELSE 0 END, day + interval '1 day'
FROM core.sims, LATERAL (SELECT right(iccid, 3)::integer AS n) AS a, generate_series(timestamp '2025-10-01', timestamp '2026-01-10', '1 day') AS day
WHERE n <> 22 AND day <= CASE n WHEN 20 THEN date '2025-11-20' WHEN 21 THEN '2026-01-02' WHEN 24 THEN '2025-12-15' ELSE '2026-01-10' END;
SELECT ops.add_up_days();

INSERT INTO core.sim_quota (organization_id, sim_key, kind, day, amount_left, amount_total, observed_at)
SELECT organization_id, sim_key, 'data', '2026-01-10',
    1000000 * CASE n WHEN 1 THEN 20 WHEN 2 THEN 60 WHEN 4 THEN 100 WHEN 5 THEN 0 ELSE 500 - n * 10 END, 500000000, '2026-01-10 23:00Z'
FROM core.sims, LATERAL (SELECT right(iccid, 3)::integer AS n) AS a;

INSERT INTO predictions.scorings (organization_id, model_name, model_version, run_id, as_of, created_at)
SELECT organization_id, 'usage-forecaster', 3, 'run-' || as_of, as_of, as_of + interval '30 hours'
FROM core.organizations, (VALUES (date '2026-01-09'), (date '2026-01-10')) AS days (as_of);

INSERT INTO predictions.usage_forecasts (organization_id, sim_key, scoring_id, as_of, day, mean, q025, q10, q50, q90, q975)
SELECT organization_id, sim_key, scoring_id, as_of, as_of + ahead, n * 300000, 100, 200, 1000000, 3000000, 4000000
FROM predictions.scorings JOIN core.sims USING (organization_id), LATERAL (SELECT right(iccid, 3)::integer AS n) AS a,
    generate_series(1, 30) AS ahead
WHERE n < 20;

INSERT INTO predictions.exhaustions (organization_id, sim_key, scoring_id, as_of, status, cause, p_7, p_14, p_30, p10_date, p50_date, p90_date,
    remaining, expires_on)
SELECT organization_id, sim_key, scoring_id, as_of,
    CASE n WHEN 5 THEN 'exhausted' WHEN 24 THEN 'expired' WHEN 22 THEN 'not_enough_evidence'
        ELSE CASE WHEN n IN (1, 2, 4) THEN 'ok' ELSE 'extrapolated' END END,
    CASE WHEN n = 24 THEN 'expiry' WHEN n <> 22 THEN 'volume' END,
    CASE n WHEN 1 THEN 0.95 WHEN 2 THEN 0.3 ELSE 0 END, CASE n WHEN 1 THEN 1 WHEN 2 THEN 0.7 ELSE 0 END,
    CASE WHEN n IN (1, 2) THEN 1 WHEN n = 4 THEN 0.6 ELSE 0 END, NULL,
    CASE WHEN n IN (5, 22, 24) THEN NULL ELSE as_of + CASE n WHEN 1 THEN 3 WHEN 2 THEN 10 WHEN 4 THEN 25 WHEN 6 THEN 40 ELSE 200 + n END END,
    NULL, 5000000, CASE n WHEN 10 THEN date '2026-02-20' WHEN 11 THEN '2026-11-30' ELSE '2030-01-01' END
FROM predictions.scorings JOIN core.sims USING (organization_id), LATERAL (SELECT right(iccid, 3)::integer AS n) AS a;

INSERT INTO predictions.aggregate_forecasts (organization_id, as_of, kind, name, day, method, sims, mean, q025, q10, q50, q90, q975,
    sum_mean_bytes, sum_q025_bytes, sum_q10_bytes, sum_q50_bytes, sum_q90_bytes, sum_q975_bytes, created_at)
SELECT organization_id, as_of, kind, name, as_of + ahead, 'usage-forecaster', 8, mb * 1000000, 1, 2, 3, 4, 5,
    mb * ahead * 1000000, mb * ahead * 700000, mb * ahead * 800000, mb * ahead * 990000, mb * ahead * 1200000, mb * ahead * 1300000, now()
FROM predictions.scorings, generate_series(1, 30) AS ahead, (VALUES ('fleet', 'fleet', 60::bigint), ('label', 'meter', 22), ('label', 'tracker', 20),
    ('country', 'France', 15), ('country', 'United States', 13)) AS e (kind, name, mb);

INSERT INTO predictions.anomalies (organization_id, sim_key, day, kind, score, severity, reasons, value, expected, unit, first_day, model_version,
    as_of, detected_at, live)
SELECT organization_id, sim_key, day::date, kind, score, severity, 'seeded', 1, 1, 'bytes', day::date, 1, '2026-01-10', now(), false
FROM core.sims, LATERAL (SELECT right(iccid, 3)::integer AS n) AS a, (VALUES
    (3, '2026-01-10', 'spike', 4.5, 'critical'), (8, '2026-01-10', 'spike', 5.5, 'critical'), (3, '2026-01-03', 'drift', 3.1, 'info'),
    (21, '2026-01-08', 'silence', 3.5, 'warning'), (20, '2025-12-10', 'dead', 4.0, 'warning'), (7, '2025-12-20', 'imei_change', 6.0, 'critical')
) AS e (m, day, kind, score, severity) WHERE n = m;

INSERT INTO predictions.alerts (organization_id, sim_key, kind, severity, value, threshold, message, opened_as_of, opened_at, seen_as_of,
    closed_as_of, closed_at, state)
SELECT organization_id, sim_key, kind, severity, 0.9, 0.5, 'seeded', opened::date, opened::timestamptz, '2026-01-10', closed::date,
    closed::timestamptz, state
FROM core.sims, LATERAL (SELECT right(iccid, 3)::integer AS n) AS a, (VALUES
    (1, 'exhaustion', 'critical', '2026-01-09Z', NULL, 'open'), (2, 'quota_80', 'warning', '2026-01-08Z', NULL, 'acknowledged'),
    (4, 'quota_80', 'warning', '2026-01-10Z', NULL, 'open'), (20, 'silent', 'info', '2025-12-01Z', NULL, 'open'),
    (9, 'quota_80', 'critical', '2025-12-20Z', '2025-12-28Z', 'resolved')
) AS e (m, kind, severity, opened, closed, state) WHERE n = m;

INSERT INTO core.tickets (organization_id, case_id, subject, body, status, created_at, solved_at, communications, changed_at)
SELECT organization_id, 'case ' || n, 'ticket ' || n, slug, CASE WHEN n < 4 THEN 'CLOSED' WHEN n = 4 THEN 'IN_PROGRESS' ELSE 'OPEN' END,
    CASE WHEN n < 6 THEN timestamptz '2025-12-10 10:00Z' ELSE timestamptz '2026-01-07 10:00Z' END, NULL, '[]', now()
FROM core.organizations, generate_series(1, 9) AS n;

INSERT INTO predictions.ticket_classes (organization_id, case_id, scoring_id, category, confidence, priority, to_person, reasons, sim_key,
    ticket_changed_at, classified_at)
SELECT t.organization_id, case_id, scoring_id, (ARRAY['billing_question', 'connectivity_issue', 'quota_exhausted'])[1 + n % 3], 0.8,
    CASE n % 3 WHEN 0 THEN 'low' ELSE 'high' END, n = 9, 'seeded', s.sim_key, t.changed_at, now()
FROM core.tickets AS t JOIN predictions.scorings AS r USING (organization_id) JOIN core.sims AS s USING (organization_id),
    LATERAL (SELECT right(case_id, 1)::integer AS n) AS a
WHERE r.as_of = '2026-01-10' AND right(iccid, 2)::integer = n;

INSERT INTO core.orders (organization_id, order_number, order_type, ordered_at, status, invoice_minor, currency, products, iccids, changed_at)
SELECT organization_id, number, kind, ordered::timestamptz, 'done', minor, 'EUR', '[]', '{}', now()
FROM core.organizations, (VALUES (1, 'FIRST_ORDER', '2025-10-01Z', 24000), (2, 'TOPUP', '2025-12-05Z', 1000), (3, 'TOPUP', '2025-12-15Z', 2050),
    (4, 'ADDITIONAL_ORDER', '2026-01-08Z', 5000), (5, 'BULK_TOPUP', '2026-01-09Z', 3000)) AS e (number, kind, ordered, minor);

-- stand in for the views of two models, with the columns that questions read
DROP VIEW IF EXISTS predictions.churn_risks_v1;

CREATE VIEW predictions.churn_risks_v1 AS
SELECT s.organization_id, iccid, s.label, as_of, n / 25.0::float8 AS p_90,
    CASE WHEN n >= 20 THEN 'high' WHEN n >= 12 THEN 'medium' ELSE 'low' END AS risk_level
FROM core.sims AS s, LATERAL (SELECT right(iccid, 3)::integer AS n) AS a, (VALUES (date '2026-01-09'), (date '2026-01-10')) AS d (as_of)
WHERE organization_id = ops.current_organization();

DROP VIEW IF EXISTS predictions.quota_recommendations_v1;

CREATE VIEW predictions.quota_recommendations_v1 AS
SELECT s.organization_id, iccid, s.label, date '2026-01-10' AS as_of, CASE WHEN n <= 6 THEN 'top_up' WHEN n <= 9 THEN 'retire' ELSE 'nothing' END AS action,
    (CASE WHEN n <= 9 THEN n * 100 ELSE 0 END)::bigint AS saving_minor, (CASE WHEN n <= 9 THEN n * 50 ELSE 0 END)::bigint AS spend_minor,
    'EUR' AS currency, NULL::text AS decision
FROM core.sims AS s, LATERAL (SELECT right(iccid, 3)::integer AS n) AS a
WHERE organization_id = ops.current_organization();

GRANT SELECT ON predictions.churn_risks_v1, predictions.quota_recommendations_v1 TO simsight_api, simsight_pipeline;
