-- One row a channel that is not deleted, by name, with the state of its messages.
SELECT c.channel_id, c.name, c.kind, c.url_variable, c.secret_variable, c.min_severity, c.direct, c.resolved, c.digest_at, c.time_zone,
       c.after_crash, c.created_at, c.parked_at, c.parked_reason, coalesce(n.pending, 0) AS pending, coalesce(n.sent, 0) AS sent,
       coalesce(n.dead, 0) AS dead, coalesce(n.unknown, 0) AS unknown
FROM ops.channels AS c
LEFT JOIN (
    SELECT channel_id, count(*) FILTER (WHERE state IN ('pending', 'sending')) AS pending, count(*) FILTER (WHERE state = 'sent') AS sent,
           count(*) FILTER (WHERE state = 'dead') AS dead, count(*) FILTER (WHERE state = 'unknown') AS unknown
    FROM ops.notifications GROUP BY channel_id
) AS n USING (channel_id)
WHERE c.deleted_at IS NULL ORDER BY c.name
