-- The SIMs that a search and choices leave, one row each, to be put into a query of the list. Parameters: words text, what ICCID, label, IMEI,
-- MSISDN or IP address contain, in lower case; state, status, country, operator, label_group, risk_level, alert (the worst open one, or none) text,
-- 'unknown' for none known; label text; ends integer, days within which its median end lies, 0: it has ended. NULL
-- each for any.
SELECT s.sim_key, s.iccid, coalesce(s.own_label, s.label) AS label, s.status, s.imei, s.msisdn, s.ip_address, s.quota_total,
       coalesce(t.state, 'unknown') AS state, coalesce(m.country, 'unknown') AS country, coalesce(m.operator, 'unknown') AS operator,
       coalesce(m.label_group, 'unknown') AS label_group, coalesce(m.risk_level, 'unknown') AS risk_level,
       m.as_of, m.last_used_on, m.used_30, m.remaining, m.ends_on, m.ends_on - m.as_of AS days_left,
       coalesce(a.alerts, 0) AS alerts, coalesce((ARRAY['critical', 'warning', 'info'])[a.worst], 'none') AS alert
FROM core.sims AS s
LEFT JOIN core.sim_states AS t USING (sim_key)
LEFT JOIN predictions.sim_summaries AS m USING (sim_key)
LEFT JOIN (
    SELECT sim_key, count(*) AS alerts, min(array_position(ARRAY['critical', 'warning', 'info'], severity)) AS worst
    FROM predictions.alerts WHERE closed_at IS NULL AND sim_key IS NOT NULL GROUP BY sim_key
) AS a USING (sim_key)
WHERE (%(state)s::text IS NULL OR coalesce(t.state, 'unknown') = %(state)s::text)
  AND (%(status)s::text IS NULL OR s.status = %(status)s::text)
  AND (%(country)s::text IS NULL OR coalesce(m.country, 'unknown') = %(country)s::text)
  AND (%(operator)s::text IS NULL OR coalesce(m.operator, 'unknown') = %(operator)s::text)
  AND (%(label_group)s::text IS NULL OR coalesce(m.label_group, 'unknown') = %(label_group)s::text)
  AND (%(risk_level)s::text IS NULL OR coalesce(m.risk_level, 'unknown') = %(risk_level)s::text)
  AND (%(alert)s::text IS NULL OR coalesce((ARRAY['critical', 'warning', 'info'])[a.worst], 'none') = %(alert)s::text)
  AND (%(ends)s::integer IS NULL OR (m.ends_on - m.as_of <= %(ends)s::integer AND (m.ends_on > m.as_of) = (%(ends)s::integer > 0)))
  AND (%(label)s::text IS NULL OR coalesce(s.own_label, s.label) = %(label)s::text)
  AND (%(words)s::text IS NULL
       OR position(%(words)s::text IN lower(concat_ws(' ', s.iccid, s.own_label, s.label, s.imei, s.msisdn, s.ip_address))) > 0)
