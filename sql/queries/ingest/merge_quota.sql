-- Quotas: one row a SIM, kind and day; a later observation of the day replaces an earlier one.
-- staged: sim_key integer, kind text, day date, observed_at timestamptz, amount_left bigint, amount_total bigint, expires_at timestamptz, last_added bigint, status_changed_at timestamptz, amount_accumulated bigint
WITH compared AS (
    SELECT s.*, t.sim_key IS NULL AS is_new,
           t.sim_key IS NOT NULL AND s.observed_at >= t.observed_at
               AND (s.amount_left, s.amount_total, s.expires_at, s.last_added, s.status_changed_at, s.amount_accumulated)
               IS DISTINCT FROM (t.amount_left, t.amount_total, t.expires_at, t.last_added, t.status_changed_at, t.amount_accumulated) AS is_changed
    FROM staged AS s LEFT JOIN core.sim_quota AS t ON t.sim_key = s.sim_key AND t.kind = s.kind AND t.day = s.day
), written AS (
    INSERT INTO core.sim_quota (organization_id, sim_key, kind, day, amount_left, amount_total, expires_at, last_added, status_changed_at, amount_accumulated, observed_at)
    SELECT ops.current_organization(), sim_key, kind, day, amount_left, amount_total, expires_at, last_added, status_changed_at, amount_accumulated, observed_at
    FROM compared WHERE is_new OR is_changed
    ON CONFLICT (sim_key, kind, day) DO UPDATE SET
        amount_left = excluded.amount_left,
        amount_total = excluded.amount_total,
        expires_at = excluded.expires_at,
        last_added = excluded.last_added,
        status_changed_at = excluded.status_changed_at,
        amount_accumulated = excluded.amount_accumulated,
        observed_at = excluded.observed_at
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
