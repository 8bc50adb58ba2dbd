-- How SIMs were connected, one row a SIM of %(sim_keys)s and UTC day with a look or a session, up to %(as_of)s, %(days)s days back: sessions by
-- the Data Streamer and those of them without a byte, and quality, 1 attached or online and 0 offline. Primary key, stream_usage_by_sim.
SELECT coalesce(c.sim_key, u.sim_key) AS sim_key, coalesce(c.day, u.day) AS day, u.sessions, u.empty_sessions,
       CASE c.status WHEN 'OFFLINE' THEN 0.0 WHEN 'ATTACHED' THEN 1.0 WHEN 'ONLINE' THEN 1.0 END::double precision AS quality
FROM (
    SELECT sim_key, day, status FROM own.sim_connectivity
    WHERE day <= %(as_of)s AND day > %(as_of)s::date - %(days)s::integer AND sim_key = ANY(%(sim_keys)s::integer[])
) AS c
FULL JOIN (
    SELECT sim_key, day, count(*) AS sessions, count(*) FILTER (WHERE bytes = 0) AS empty_sessions
    FROM own.stream_usage
    WHERE kind = 'data' AND day <= %(as_of)s AND day > %(as_of)s::date - %(days)s::integer AND sim_key = ANY(%(sim_keys)s::integer[])
    GROUP BY sim_key, day
) AS u ON u.sim_key = c.sim_key AND u.day = c.day
ORDER BY sim_key, day;
