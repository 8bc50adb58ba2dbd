-- Small keys of the SIMs asked for that are in the SIM list. Index sims_organization_id_iccid_key.
-- staged: iccid text
SELECT s.iccid, s.sim_key FROM staged JOIN core.sims AS s USING (iccid);
