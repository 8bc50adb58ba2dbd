-- The SIMs that a search and choices leave, one row each, to be put into a query of the list. Parameters: words text, what ICCID, label, IMEI,
-- MSISDN or IP address contain, in lower case; state, status, country, operator, label_group, risk_level, alert (the worst open one, or none) text,
-- 'unknown' for none known; label text; ends integer, days within which its median end lies, 0: it has ended. NULL
-- each for any. State, country, operator, label_group and risk_level are NULL where none is known, worst (1 critical, 2 warning, 3 info) where no
-- alert is open: only of bare columns does PostgreSQL know how many SIMs a value leaves, and how many groups there are.
SELECT s.sim_key, s.iccid, coalesce(s.own_label, s.label) AS label, s.status, s.imei, s.msisdn, s.ip_address, s.quota_total,
       t.state, m.country, m.operator, m.label_group, m.risk_level,
       m.as_of, m.last_used_on, m.used_30, m.remaining, m.ends_on, m.ends_on - m.as_of AS days_left,
       coalesce(a.alerts, 0) AS alerts, a.worst
FROM core.sims AS s
LEFT JOIN core.sim_states AS t USING (sim_key)
LEFT JOIN predictions.sim_summaries AS m USING (sim_key)
LEFT JOIN (
    SELECT sim_key, count(*) AS alerts, min(array_position(ARRAY['critical', 'warning', 'info'], severity)) AS worst
    FROM predictions.alerts WHERE closed_at IS NULL AND sim_key IS NOT NULL GROUP BY sim_key
) AS a USING (sim_key)
WHERE (%(state)s::text IS NULL OR t.state = %(state)s::text OR (%(state)s::text = 'unknown' AND t.state IS NULL))
  AND (%(status)s::text IS NULL OR s.status = %(status)s::text)
  AND (%(country)s::text IS NULL OR m.country = %(country)s::text OR (%(country)s::text = 'unknown' AND m.country IS NULL))
  AND (%(operator)s::text IS NULL OR m.operator = %(operator)s::text OR (%(operator)s::text = 'unknown' AND m.operator IS NULL))
  AND (%(label_group)s::text IS NULL OR m.label_group = %(label_group)s::text OR (%(label_group)s::text = 'unknown' AND m.label_group IS NULL))
  AND (%(risk_level)s::text IS NULL OR m.risk_level = %(risk_level)s::text OR (%(risk_level)s::text = 'unknown' AND m.risk_level IS NULL))
  AND (%(alert)s::text IS NULL OR a.worst = array_position(ARRAY['critical', 'warning', 'info'], %(alert)s::text)
       OR (%(alert)s::text = 'none' AND a.worst IS NULL))
  AND (%(ends)s::integer IS NULL OR (m.ends_on - m.as_of <= %(ends)s::integer AND (m.ends_on > m.as_of) = (%(ends)s::integer > 0)))
  AND (%(label)s::text IS NULL OR coalesce(s.own_label, s.label) = %(label)s::text)
  AND (%(words)s::text IS NULL
       OR position(%(words)s::text IN lower(concat_ws(' ', s.iccid, s.own_label, s.label, s.imei, s.msisdn, s.ip_address))) > 0)
