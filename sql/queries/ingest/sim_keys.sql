-- Small keys of all SIMs.
SELECT iccid, sim_key FROM core.sims;
