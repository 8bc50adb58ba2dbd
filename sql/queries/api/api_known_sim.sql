-- One row for a SIM of the organization. Parameters: iccid text. Index: sims_organization_id_iccid_key.
SELECT iccid FROM core.sims WHERE iccid = %(iccid)s::text
