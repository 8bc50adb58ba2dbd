-- What lists choose and sort SIMs by, one row a SIM; only rows that differ are written. As of a day before the newest one nothing is.
-- Parameters: as_of date. Indexes: primary keys, sim_usage_by_day, exhaustions_by_as_of.
INSERT INTO predictions.sim_summaries AS m
    (sim_key, organization_id, as_of, label_group, country, operator, last_used_on, used_30, remaining, ends_on, risk_level)
SELECT s.sim_key, s.organization_id, %(as_of)s::date, substring(v.label FROM '^[^-_/:. ]+'), v.country, v.operator, v.last_used_on,
       coalesce(u.bytes, 0), (v.remaining_mb * 1000000)::bigint, v.ends_on, r.risk_level
FROM core.sims AS s
JOIN core.sims_v1 AS v USING (organization_id, iccid)
LEFT JOIN (
    SELECT sim_key, sum(bytes)::bigint AS bytes FROM core.sim_usage WHERE day > %(as_of)s::date - 30 AND day <= %(as_of)s::date GROUP BY sim_key
) AS u ON u.sim_key = s.sim_key
LEFT JOIN predictions.churn_risks AS r ON r.sim_key = s.sim_key AND r.as_of = (SELECT max(c.as_of) FROM predictions.churn_risks AS c)
WHERE NOT EXISTS (SELECT FROM predictions.sim_summaries AS newer WHERE newer.as_of > %(as_of)s::date)
ON CONFLICT (sim_key) DO UPDATE SET
    as_of = excluded.as_of, label_group = excluded.label_group, country = excluded.country, operator = excluded.operator,
    last_used_on = excluded.last_used_on, used_30 = excluded.used_30, remaining = excluded.remaining, ends_on = excluded.ends_on,
    risk_level = excluded.risk_level
WHERE m IS DISTINCT FROM excluded
