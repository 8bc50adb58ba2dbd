-- One row for a SIM of the organization: the as-of day of its newest exhaustion prediction, NULL without one.
-- Parameters: iccid text. Indexes: sims_organization_id_iccid_key, exhaustions_pkey.
SELECT s.iccid, (SELECT max(e.as_of) FROM predictions.exhaustions AS e WHERE e.sim_key = s.sim_key) AS as_of
FROM core.sims AS s
WHERE s.iccid = %(iccid)s::text
