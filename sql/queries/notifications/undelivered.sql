-- One row: disabled channels by name with why, and messages of the last week that did not arrive. Parameters: now.
SELECT (SELECT coalesce(array_agg(c.name || ' (' || c.parked_reason || ')' ORDER BY c.name), '{}')
        FROM ops.channels AS c WHERE c.deleted_at IS NULL AND c.parked_at IS NOT NULL) AS disabled,
       (SELECT count(*) FROM ops.notifications AS n
        WHERE n.state IN ('dead', 'unknown') AND n.created_at > %(now)s::timestamptz - interval '7 days') AS lost,
       (SELECT min(n.next_attempt_at) FROM ops.notifications AS n
        WHERE n.state = 'pending' AND n.next_attempt_at <= %(now)s::timestamptz) AS due_since
