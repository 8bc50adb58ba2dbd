-- One row a source and grade of a SIM's last %(days)s usage days, the newest first; mb: its sum. Primary key.
SELECT source, grade, count(*) AS days, max(day) AS last_day, sum(mb)::double precision AS mb
FROM core.sim_usage_v1
WHERE iccid = %(iccid)s
  AND day > (SELECT max(v.day) FROM core.sim_usage_v1 AS v WHERE v.iccid = %(iccid)s) - %(days)s::integer
GROUP BY source, grade ORDER BY last_day DESC, source, grade
