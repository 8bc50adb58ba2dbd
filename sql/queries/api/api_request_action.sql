-- One row: outcome, action_id, cost_minor, currency. Parameters: key_sha256, kind, iccid, parameters, idempotency_key,
-- recommendation_id, may_cost, else_minor, dry_run, now.
SELECT * FROM ops.request_action(
    %(key_sha256)s::bytea, %(kind)s::text, %(iccid)s::text, %(parameters)s::jsonb, %(idempotency_key)s::text,
    %(recommendation_id)s::bigint, %(may_cost)s::boolean, %(else_minor)s::bigint, %(dry_run)s::boolean, %(now)s::timestamptz)
