-- What the end of a SIM rests on beside its data quota, as of %(as_of)s: one row a SIM
-- from %(first_key)s to %(last_key)s. Automatic top-up (bytes it adds, and bytes left at
-- which it comes where they are automatic: topup_habit.sql); bytes used in
-- the month of as_of + 1; SMS left (the nearest observation, at most a month off, moved by the counts in between); and of the last
-- 182 days the known days, the sum of the daily counts of SMS, and of their squares. Primary keys and chunk exclusion.
WITH habit AS (
{part}
), seen AS (
    SELECT DISTINCT ON (sim_key, kind) sim_key, kind, day, amount_left, amount_total, last_added
    FROM own.sim_quota
    WHERE day BETWEEN %(as_of)s::date - 31 AND %(as_of)s::date + 7 AND sim_key BETWEEN %(first_key)s AND %(last_key)s
    ORDER BY sim_key, kind, abs(day - %(as_of)s::date), day
), counted AS (
    SELECT u.sim_key,
           sum(u.bytes) FILTER (WHERE u.day <= %(as_of)s::date AND u.day >= date_trunc('month', %(as_of)s::date + 1)::date) AS used_this_month,
           sum(n.sms) FILTER (WHERE u.day > %(as_of)s::date AND u.day <= q.day) AS since,
           sum(n.sms) FILTER (WHERE u.day <= %(as_of)s::date AND u.day > q.day) AS until,
           sum(n.sms) FILTER (WHERE u.day <= %(as_of)s::date) AS messages,
           sum(n.sms * n.sms) FILTER (WHERE u.day <= %(as_of)s::date) AS squares
    FROM own.sim_usage AS u
    CROSS JOIN LATERAL (SELECT (coalesce(u.sms_mt, 0) + coalesce(u.sms_mo, 0) + coalesce(u.sms_unsplit, 0))::bigint AS sms) AS n
    LEFT JOIN seen AS q ON q.sim_key = u.sim_key AND q.kind = 'sms'
    WHERE u.day > %(as_of)s::date - 182 AND u.day <= %(as_of)s::date + 7 AND u.sim_key BETWEEN %(first_key)s AND %(last_key)s
    GROUP BY u.sim_key
)
SELECT s.sim_key,
       CASE WHEN h.automatic THEN d.last_added END AS topup,
       CASE WHEN h.automatic THEN d.amount_total / 5 END AS topup_at,
       coalesce(c.used_this_month, 0)::bigint AS used_this_month,
       (m.amount_left + coalesce(c.since, 0) - coalesce(c.until, 0))::bigint AS sms_remaining,
       least(%(as_of)s::date - f.first_day + 1, 182) AS sms_days,
       coalesce(c.messages, 0)::bigint AS sms_messages, coalesce(c.squares, 0)::bigint AS sms_squares
FROM core.sims AS s
LEFT JOIN habit AS h USING (sim_key)
LEFT JOIN seen AS d ON d.sim_key = s.sim_key AND d.kind = 'data'
LEFT JOIN seen AS m ON m.sim_key = s.sim_key AND m.kind = 'sms'
LEFT JOIN counted AS c ON c.sim_key = s.sim_key
LEFT JOIN LATERAL (SELECT min(u.day) AS first_day FROM own.sim_usage AS u WHERE u.sim_key = s.sim_key) AS f ON true
WHERE s.sim_key BETWEEN %(first_key)s AND %(last_key)s
ORDER BY s.sim_key;
