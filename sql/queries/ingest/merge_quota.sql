-- Quotas: one row a SIM, kind and day, with the last and the first look of the day; a look between them is left out. A look of a day
-- that the usage call does not cover up to there is to be booked (ops.usage_touched).
-- staged: sim_key integer, kind text, day date, observed_at timestamptz, amount_left bigint, amount_total bigint, expires_at timestamptz, last_added bigint, status_changed_at timestamptz, amount_accumulated bigint
WITH compared AS (
    SELECT s.*, t.sim_key IS NULL AS is_new, s.observed_at > t.observed_at AS is_later,
           s.observed_at < coalesce(t.first_observed_at, t.observed_at) AS is_first,
           t.sim_key IS NOT NULL AND s.observed_at >= t.observed_at
               AND (s.amount_left, s.amount_total, s.expires_at, s.last_added, s.status_changed_at, s.amount_accumulated)
               IS DISTINCT FROM
               (t.amount_left, t.amount_total, t.expires_at, t.last_added, t.status_changed_at, t.amount_accumulated) AS is_changed
    FROM staged AS s LEFT JOIN own.sim_quota AS t ON t.sim_key = s.sim_key AND t.kind = s.kind AND t.day = s.day
), written AS (
    INSERT INTO own.sim_quota AS q (organization_id, sim_key, kind, day, amount_left, amount_total, expires_at, last_added, status_changed_at, amount_accumulated, observed_at)
    SELECT (SELECT ops.current_organization()), sim_key, kind, day, amount_left, amount_total, expires_at, last_added, status_changed_at, amount_accumulated, observed_at
    FROM compared WHERE is_new OR is_changed OR is_later
    ON CONFLICT (sim_key, kind, day) DO UPDATE SET
        -- what was the only look of the day becomes its first
        first_observed_at = CASE WHEN excluded.observed_at > q.observed_at THEN coalesce(q.first_observed_at, q.observed_at) ELSE q.first_observed_at END,
        first_left = CASE WHEN q.first_observed_at IS NULL AND excluded.observed_at > q.observed_at THEN q.amount_left ELSE q.first_left END,
        first_total = CASE WHEN q.first_observed_at IS NULL AND excluded.observed_at > q.observed_at THEN q.amount_total ELSE q.first_total END,
        first_added = CASE WHEN q.first_observed_at IS NULL AND excluded.observed_at > q.observed_at THEN q.last_added ELSE q.first_added END,
        first_changed_at = CASE WHEN q.first_observed_at IS NULL AND excluded.observed_at > q.observed_at THEN q.status_changed_at ELSE q.first_changed_at END,
        first_accumulated = CASE WHEN q.first_observed_at IS NULL AND excluded.observed_at > q.observed_at THEN q.amount_accumulated ELSE q.first_accumulated END,
        amount_left = excluded.amount_left,
        amount_total = excluded.amount_total,
        expires_at = excluded.expires_at,
        last_added = excluded.last_added,
        status_changed_at = excluded.status_changed_at,
        amount_accumulated = excluded.amount_accumulated,
        observed_at = excluded.observed_at
), earlier AS (
    UPDATE own.sim_quota AS q SET
        first_observed_at = c.observed_at, first_left = c.amount_left, first_total = c.amount_total, first_added = c.last_added,
        first_changed_at = c.status_changed_at, first_accumulated = c.amount_accumulated
    FROM compared AS c
    WHERE c.is_first AND q.sim_key = c.sim_key AND q.kind = c.kind AND q.day = c.day
), touched AS (
    INSERT INTO ops.usage_touched AS w (organization_id, sim_key, look_day)
    SELECT (SELECT ops.current_organization()), c.sim_key, min(c.day)
    FROM compared AS c
    WHERE (c.is_new OR c.is_changed OR c.is_later OR c.is_first)
      AND NOT EXISTS (
          SELECT FROM ops.polls AS p WHERE p.sim_key = c.sim_key AND p.source = 'usage' AND p.covered_to >= c.day - 1)
    GROUP BY c.sim_key ORDER BY c.sim_key
    ON CONFLICT (sim_key) DO UPDATE SET look_day = least(w.look_day, excluded.look_day)
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed) AS changed,
       count(*) FILTER (WHERE NOT is_new AND NOT is_changed) AS unchanged
FROM compared;
