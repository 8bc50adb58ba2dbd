-- Opens an incident while an action is unclear, keeps its message, and closes it when none is. Parameters: now.
WITH found AS (
    SELECT count(*) AS actions,
        format('%%s %%s unclear, nobody knows whether 1NCE did it: %%s. Look in 1NCE''s portal, then `simsight actions settle ID --done` or `--failed`',
               count(*), CASE WHEN count(*) = 1 THEN 'action is' ELSE 'actions are' END,
               string_agg(format('%%s (%%s)', action_id, kind), ', ' ORDER BY action_id)) AS message,
        jsonb_build_object('action_ids', jsonb_agg(action_id ORDER BY action_id)) AS details
    FROM ops.action_requests WHERE state = 'unclear'
), closed AS (
    UPDATE ops.incidents AS i SET closed_at = %(now)s::timestamptz FROM found
    WHERE i.kind = 'unclear_actions' AND i.closed_at IS NULL AND found.actions = 0
)
INSERT INTO ops.incidents (organization_id, kind, opened_at, message, details)
SELECT (SELECT ops.current_organization()), 'unclear_actions', %(now)s::timestamptz, message, details FROM found WHERE actions > 0
ON CONFLICT (organization_id, kind) WHERE closed_at IS NULL
DO UPDATE SET message = excluded.message, details = excluded.details
