-- The looks at the quotas of some SIMs from which their days are laid out again, one row a look: from four days with looks before the
-- earliest one that is new on. %(sim_keys)s and %(look_days)s belong together, place by place. emit_from: days before it stay as they are.
-- At the first of these days only its last look is given, with what is known of its use; a SIM's very first look begins anew.
-- Primary key of core.sim_quota.
WITH asked AS (
    SELECT * FROM unnest(%(sim_keys)s::integer[], %(look_days)s::date[]) AS a (sim_key, look_day)
), begun AS (
    SELECT a.sim_key, k.kind, b.days
    FROM asked AS a
    CROSS JOIN (VALUES ('data'), ('sms')) AS k (kind)
    CROSS JOIN LATERAL (
        SELECT array_agg(d.day ORDER BY d.day DESC) AS days
        FROM (
            SELECT q.day FROM own.sim_quota AS q
            WHERE q.sim_key = a.sim_key AND q.kind = k.kind AND q.day < a.look_day ORDER BY q.day DESC LIMIT 4
        ) AS d
    ) AS b
), seen AS (
    SELECT q.*, b.days[4] AS begins, CASE WHEN b.days[4] IS NOT NULL THEN b.days[2] END AS emit_from
    FROM begun AS b
    JOIN own.sim_quota AS q ON q.sim_key = b.sim_key AND q.kind = b.kind AND (b.days[4] IS NULL OR q.day >= b.days[4])
)
SELECT sim_key, kind, day, false AS is_last, first_observed_at AS observed_at, first_left AS amount_left, first_total AS amount_total,
       first_added AS last_added, first_changed_at AS status_changed_at, first_accumulated AS amount_accumulated,
       NULL::bigint AS used, NULL::bigint AS most_used, emit_from
FROM seen WHERE first_observed_at IS NOT NULL AND day IS DISTINCT FROM begins
UNION ALL
SELECT sim_key, kind, day, true, observed_at, amount_left, amount_total, last_added, status_changed_at, amount_accumulated,
       CASE WHEN day = begins THEN used END, CASE WHEN day = begins THEN most_used END, emit_from
FROM seen;
