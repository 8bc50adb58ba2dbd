-- One row an alert open as of %(as_of)s, of one kind or of any (NULL): the loudest, then those of the fleet and of incidents, which have no SIM
-- (sim_key NULL), then the highest value, the first %(top)s. Index: alerts_by_organization. Of the SIMs with the keys %(sims)s; NULL: all.
SELECT s.sim_key, s.iccid, coalesce(s.own_label, s.label) AS label, a.kind, a.severity, a.message, a.value, a.opened_as_of
FROM predictions.alerts AS a LEFT JOIN core.sims AS s USING (sim_key)
WHERE a.opened_as_of <= %(as_of)s AND (a.closed_as_of IS NULL OR a.closed_as_of > %(as_of)s)
    AND (%(sims)s::integer[] IS NULL OR a.sim_key = ANY(%(sims)s::integer[]))
    AND (%(kind)s::text IS NULL OR a.kind = %(kind)s)
ORDER BY array_position(ARRAY['critical', 'warning', 'info'], a.severity), s.sim_key IS NOT NULL, a.kind, a.value DESC NULLS LAST, s.iccid,
    a.alert_id
LIMIT %(top)s;
