-- Write an escalation policy, in the place of one of that name.
INSERT INTO ops.escalation_policies (organization_id, name, min_severity, rule_id, steps, created_at)
VALUES ((SELECT ops.current_organization()), %(name)s, %(min_severity)s, %(rule_id)s, %(steps)s::jsonb, %(now)s)
ON CONFLICT (organization_id, name) DO UPDATE SET
    min_severity = excluded.min_severity, rule_id = excluded.rule_id, steps = excluded.steps, created_at = excluded.created_at
RETURNING policy_id;
