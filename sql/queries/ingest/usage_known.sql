-- What the book knows of some SIMs' days from %(first)s on by anything but the quota: amounts, and how good the source is. The usage
-- call's answer for a day under way is left out. sms is NULL where the source does not count messages. Index sim_usage_key.
SELECT u.sim_key, u.day, u.bytes,
       CASE WHEN num_nonnulls(u.sms_mt, u.sms_mo, u.sms_unsplit) > 0
            THEN coalesce(u.sms_mt, 0) + coalesce(u.sms_mo, 0) + coalesce(u.sms_unsplit, 0) END AS sms,
       core.usage_rank(u.source, u.grade) AS rank
FROM own.sim_usage AS u
LEFT JOIN ops.polls AS p ON p.sim_key = u.sim_key AND p.source = 'usage'
WHERE u.sim_key = ANY(%(sim_keys)s::integer[]) AND u.day >= %(first)s AND u.source <> 'q'
  AND (u.source <> 'c' OR u.known_at >= (u.day + 1)::timestamp AT TIME ZONE 'UTC' OR p.covered_to >= u.day);
