-- One row for a SIM of the organization: its last day with a usage record, NULL when it has none.
-- Parameters: iccid text. Indexes: sims_organization_id_iccid_key, sim_usage_key (its end).
SELECT (SELECT max(u.day) FROM core.sim_usage AS u WHERE u.sim_key = s.sim_key) AS last_day
FROM core.sims AS s
WHERE s.iccid = %(iccid)s::text
