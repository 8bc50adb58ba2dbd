-- One row for a SIM of the organization: its last day with a usage record, NULL when it has none.
-- Parameters: iccid text. Indexes: sims_organization_id_iccid_key, sim_usage_key (its end).
SELECT usage_day AS last_day
FROM core.sim_newest
WHERE iccid = %(iccid)s::text
