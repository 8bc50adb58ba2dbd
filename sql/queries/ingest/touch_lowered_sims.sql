-- Puts the SIMs on the list to be booked again whose days the stream told as whole, on days of %(days)s that an outage found since then
-- has made doubtful: the stream's days are graded anew, and looks at the quota may know better. Days that the usage call covers stay.
-- Index sim_usage_by_day.
INSERT INTO ops.usage_touched AS w (organization_id, sim_key, look_day, stream_day)
SELECT (SELECT ops.current_organization()), u.sim_key, min(u.day), min(u.day)
FROM own.sim_usage AS u
LEFT JOIN ops.polls AS p ON p.sim_key = u.sim_key AND p.source = 'usage'
WHERE u.day = ANY(%(days)s::date[]) AND u.source = 's' AND u.grade = 'A' AND (p.covered_to IS NULL OR p.covered_to < u.day)
GROUP BY u.sim_key ORDER BY u.sim_key
ON CONFLICT (sim_key) DO UPDATE SET
    look_day = least(w.look_day, excluded.look_day), stream_day = least(w.stream_day, excluded.stream_day);
