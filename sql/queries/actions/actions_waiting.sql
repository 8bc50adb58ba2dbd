-- Actions that may be sent as far as switches and approval go, the oldest first. Parameters: switched_on text[], to_approve text[],
-- rows.
SELECT r.action_id, r.kind, s.iccid, r.parameters
FROM ops.action_requests AS r LEFT JOIN core.sims AS s USING (sim_key)
WHERE (r.state = 'approved' OR (r.state = 'requested' AND NOT r.kind = ANY(%(to_approve)s::text[])))
    AND r.kind = ANY(%(switched_on)s::text[])
    AND NOT EXISTS (
        SELECT FROM ops.action_requests AS o
        WHERE o.kind = r.kind AND o.sim_key IS NOT DISTINCT FROM r.sim_key AND o.state IN ('sending', 'unclear'))
ORDER BY r.action_id LIMIT %(rows)s::integer
