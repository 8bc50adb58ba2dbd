-- One row an ICCID of a list that the organization has. Parameters: iccids text[]. Index: sims_organization_id_iccid_key.
SELECT iccid FROM core.sims WHERE iccid = ANY (%(iccids)s::text[])
