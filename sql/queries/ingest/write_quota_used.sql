-- What SIMs had used at the looks at their quota. Only what differs is written. Primary key of core.sim_quota.
-- staged: sim_key integer, kind text, day date, first_used bigint, used bigint, most_used bigint
UPDATE own.sim_quota AS q SET first_used = s.first_used, used = s.used, most_used = s.most_used
FROM staged AS s
WHERE q.sim_key = s.sim_key AND q.kind = s.kind AND q.day = s.day
  AND (q.first_used, q.used, q.most_used) IS DISTINCT FROM (s.first_used, s.used, s.most_used);
