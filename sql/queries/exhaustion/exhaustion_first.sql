-- The %(top)s SIMs that end first after %(as_of)s, one row a SIM. Index exhaustions_by_as_of.
SELECT e.sim_key, s.iccid, coalesce(s.own_label, s.label) AS label, e.status, e.cause, e.p10_date, e.p50_date, e.p90_date
FROM predictions.exhaustions AS e JOIN core.sims AS s USING (sim_key)
WHERE e.as_of = %(as_of)s AND e.p50_date IS NOT NULL AND e.status NOT IN ('exhausted', 'expired')
ORDER BY e.p50_date, e.sim_key LIMIT %(top)s;
