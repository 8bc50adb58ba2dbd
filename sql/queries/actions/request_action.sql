-- One row: outcome, action_id, cost_minor, currency. Parameters: by, kind, iccid, parameters, idempotency_key, recommendation_id,
-- may_cost, else_minor, dry_run, now.
SELECT * FROM ops.request_action_here(
    %(by)s::text, %(kind)s::text, %(iccid)s::text, %(parameters)s::jsonb, %(idempotency_key)s::text, %(recommendation_id)s::bigint,
    %(may_cost)s::boolean, %(else_minor)s::bigint, %(dry_run)s::boolean, %(now)s::timestamptz)
