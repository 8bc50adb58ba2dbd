-- Realized savings, one row a month and scope; the same again changes nothing.
-- staged: month date, scope text, sims integer, predicted_minor bigint, realized_minor bigint, currency text, computed_at timestamptz
WITH compared AS (
    SELECT s.*, t.month IS NULL AS is_new, t.month IS NOT NULL
               AND (s.sims, s.predicted_minor, s.realized_minor, s.currency)
               IS DISTINCT FROM (t.sims, t.predicted_minor, t.realized_minor, t.currency) AS is_changed
    FROM staged AS s
    LEFT JOIN predictions.realized_savings AS t
        ON t.organization_id = (SELECT ops.current_organization()) AND t.month = s.month AND t.scope = s.scope
), written AS (
    INSERT INTO predictions.realized_savings (organization_id, month, scope, sims, predicted_minor, realized_minor, currency, computed_at)
    SELECT (SELECT ops.current_organization()), month, scope, sims, predicted_minor, realized_minor, currency, computed_at
    FROM compared WHERE is_new OR is_changed
    ON CONFLICT (organization_id, month, scope) DO UPDATE SET
        sims = excluded.sims,
        predicted_minor = excluded.predicted_minor,
        realized_minor = excluded.realized_minor,
        currency = excluded.currency,
        computed_at = excluded.computed_at
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
