-- One row: the state of a SIM, listed or ordered; all NULL but the ICCID before its first evaluation; none for an unknown SIM.
-- Parameters: iccid text. Index: sims_organization_id_iccid_key; a SIM that is not listed is looked for in the orders.
SELECT iccid, t.state, t.since, t.cause, t.evidence
FROM (SELECT iccid FROM core.sims_v1 WHERE iccid = %(iccid)s::text) AS s
FULL JOIN (SELECT * FROM core.sim_states_v1 WHERE iccid = %(iccid)s::text) AS t USING (iccid)
