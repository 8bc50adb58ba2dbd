-- Actions of which it is not known what became of them, sent long enough ago to be looked for. Parameters: sent_before.
SELECT r.action_id, r.kind, s.iccid, r.parameters, r.attempts, r.sent_at, r.known_before
FROM ops.action_requests AS r LEFT JOIN core.sims AS s USING (sim_key)
WHERE r.state = 'sending' AND r.sent_at <= %(sent_before)s::timestamptz ORDER BY r.action_id
