-- Small keys of the SIMs that records name otherwise than by ICCID, as in 'sim_id 7|imei 8688120300331033'. Function core.sim_named.
-- staged: iccid text
SELECT iccid, sim_key FROM (SELECT iccid, core.sim_named(iccid) AS sim_key FROM staged) AS named WHERE sim_key IS NOT NULL;
