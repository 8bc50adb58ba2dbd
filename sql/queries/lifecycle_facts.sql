-- What the state machine needs of every SIM beside usage and quota, one row a SIM. Indexes: polls_pkey, sim_states_pkey, and
-- the events of the last 100 days.
WITH stopped AS (
    SELECT sim_key, max(occurred_at) AS at FROM core.sim_events
    WHERE event_type ILIKE '%%to ''Suspended''%%' AND occurred_at > (%(as_of)s::date - 100)::timestamp AT TIME ZONE 'UTC'
        AND occurred_at < (%(as_of)s::date + 1)::timestamp AT TIME ZONE 'UTC'
    GROUP BY sim_key
)
SELECT s.sim_key, s.status, (s.activated_at AT TIME ZONE 'UTC')::date AS activated_on,
       coalesce(q.problem = 'OnceSimExpiredError', false) AS refused,
       coalesce((e.at AT TIME ZONE 'UTC')::date, CASE WHEN t.state IN ('suspended', 'deactivated') THEN t.since END) AS disabled_on,
       u.covered_to, t.state AS was, t.since AS was_since
FROM core.sims AS s
LEFT JOIN ops.polls AS u ON u.sim_key = s.sim_key AND u.source = 'usage'
LEFT JOIN ops.polls AS q ON q.sim_key = s.sim_key AND q.source = 'quota'
LEFT JOIN core.sim_states AS t ON t.sim_key = s.sim_key
LEFT JOIN stopped AS e ON e.sim_key = s.sim_key
ORDER BY s.sim_key;
