-- One row: the last complete day with usage, NULL without any: of the newest and the oldest SIMs, and the last day that predictions knew.
-- Parameters: today date. Indexes: sim_usage_key, once a SIM looked at.
SELECT greatest(
    (SELECT max(as_of) FROM predictions.scorings WHERE as_of < %(today)s::date),
    (
        SELECT max(u.day)
        FROM (
            (SELECT sim_key FROM core.sims ORDER BY sim_key LIMIT 500)
            UNION
            (SELECT sim_key FROM core.sims ORDER BY sim_key DESC LIMIT 500)
        ) AS s
        CROSS JOIN LATERAL (
            SELECT day FROM core.sim_usage AS v WHERE v.sim_key = s.sim_key AND day < %(today)s::date ORDER BY day DESC LIMIT 1
        ) AS u
    )
) AS last_day
