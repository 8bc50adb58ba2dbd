-- Switch a rule on or off, or delete it; what it has open is closed when it no longer looks. One row: the name, and how many alerts were closed.
WITH rule AS (
    UPDATE predictions.alert_rules SET enabled = %(enabled)s, changed_at = %(now)s, deleted_at = CASE WHEN %(deleted)s THEN %(now)s::timestamptz END,
        error = NULL
    WHERE name = %(name)s AND deleted_at IS NULL
    RETURNING rule_id, name
), closed AS (
    UPDATE predictions.alerts AS a SET closed_at = %(now)s, closed_as_of = seen_as_of
    FROM rule WHERE a.rule_id = rule.rule_id AND a.closed_at IS NULL AND NOT %(enabled)s
    RETURNING 1
)
SELECT name, (SELECT count(*) FROM closed) AS closed FROM rule;
