-- SIMs with what the checks look at.
SELECT iccid, imei, status, activated_at FROM core.sims;
