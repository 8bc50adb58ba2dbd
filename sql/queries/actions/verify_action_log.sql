-- What is wrong with the log of writes, broken rows first, from the first; no row when nothing is.
WITH chain AS (
    SELECT l.number, l.sha256, l.previous_sha256, ops.action_log_sha256(l) AS right_sha256,
        lag(l.number, 1, 0::bigint) OVER numbered AS before, lag(l.sha256, 1, ''::bytea) OVER numbered AS before_sha256
    FROM ops.action_log AS l WINDOW numbered AS (ORDER BY l.number)
), latest AS (
    SELECT DISTINCT ON (action_id) action_id, event, facts FROM ops.action_log WHERE action_id IS NOT NULL
    ORDER BY action_id, number DESC
), switched AS (
    SELECT event FROM ops.action_log WHERE action_id IS NULL AND event IN ('stopped', 'started') ORDER BY number DESC LIMIT 1
), sealed AS (
    SELECT (facts ->> 'id')::date AS day, organization_id, facts ->> 'sha256' AS sha256 FROM ops.action_log WHERE event = 'key-use.sealed'
), problems AS (
    SELECT number AS place, format('row %%s: %%s', number, CASE
        WHEN number <> before + 1 THEN format('rows %%s to %%s are missing', before + 1, number - 1)
        WHEN sha256 <> right_sha256 THEN 'it was changed'
        ELSE 'it does not follow from the row before' END) AS problem
    FROM chain WHERE number <> before + 1 OR sha256 <> right_sha256 OR previous_sha256 <> before_sha256
    UNION ALL
    SELECT NULL, format('action %%s: it is %%s, and the log says %%s', coalesce(r.action_id, l.action_id), coalesce(r.state, 'gone'),
                  coalesce(l.event, 'nothing of it'))
    FROM ops.action_requests AS r FULL JOIN latest AS l USING (action_id)
    WHERE (r.state IS DISTINCT FROM l.event OR r.kind <> l.facts ->> 'kind' OR r.parameters <> l.facts -> 'parameters'
        OR r.sim_key IS DISTINCT FROM (l.facts ->> 'sim_key')::integer OR r.cost_minor <> (l.facts ->> 'cost_minor')::bigint
        OR r.attempts <> (l.facts ->> 'attempts')::smallint)
        -- with a SIM that was deleted for good its actions go, and the log says so
        AND NOT (r.action_id IS NULL AND (l.facts ->> 'sim_key') IN (SELECT facts ->> 'id' FROM ops.action_log WHERE event = 'sim.deleted'))
    UNION ALL
    SELECT NULL, 'the kill switch is not as the log says' FROM ops.action_switches AS w LEFT JOIN switched ON true
    WHERE (CASE WHEN w.stopped THEN 'stopped' ELSE 'started' END) IS DISTINCT FROM switched.event
    UNION ALL
    SELECT NULL, format('the use of keys of %%s is not as it was sealed', s.day) FROM sealed AS s
    WHERE encode(ops.key_use_sha256(s.organization_id, s.day), 'hex') <> s.sha256
    UNION ALL
    SELECT DISTINCT NULL::bigint, format('the use of keys of %%s has no seal', u.day) FROM ops.key_use AS u
    WHERE u.sealed AND u.day NOT IN (SELECT day FROM sealed)
)
SELECT problem FROM problems ORDER BY place NULLS LAST
