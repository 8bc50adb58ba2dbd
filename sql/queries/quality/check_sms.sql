-- SMS with what the checks look at.
SELECT direction, submitted_at FROM core.sim_sms;
