-- One row: the last complete day with usage, NULL without any: of the newest and the oldest SIMs, and the last day that predictions knew.
-- Parameters: today date. Indexes: sim_usage_key, once a SIM looked at.
SELECT greatest(
    (SELECT max(as_of) FROM predictions.scorings WHERE as_of < %(today)s::date),
    (
        -- where a day under way has a row, the newest before it is mostly of the week before
        SELECT max(CASE
            WHEN n.usage_day < %(today)s::date THEN n.usage_day
            WHEN n.usage_day IS NOT NULL THEN coalesce(
                (SELECT max(u.day) FROM core.sim_usage AS u
                 WHERE u.sim_key = n.sim_key AND u.day >= %(today)s::date - 7 AND u.day < %(today)s::date),
                (SELECT max(u.day) FROM core.sim_usage AS u WHERE u.sim_key = n.sim_key AND u.day < %(today)s::date)
            ) END)
        FROM (
            SELECT sim_key, usage_day FROM (
                (SELECT sim_key FROM core.sims ORDER BY sim_key LIMIT 500)
                UNION
                (SELECT sim_key FROM core.sims ORDER BY sim_key DESC LIMIT 500)
            ) AS s
            JOIN core.sim_newest USING (sim_key)
            OFFSET 0  -- the look-up once a SIM
        ) AS n
    )
) AS last_day
