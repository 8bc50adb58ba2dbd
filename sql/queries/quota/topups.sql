-- Automatic top-up as of %(as_of)s of each SIM from %(first_key)s to %(last_key)s: the bytes it adds, and the bytes left at which it comes;
-- null without one. As in exhaustion_facts.sql, without what that reads of usage. Primary keys and chunk exclusion.
WITH habit AS (
{part}
), seen AS (
    SELECT DISTINCT ON (sim_key) sim_key, amount_total, last_added
    FROM own.sim_quota
    WHERE day BETWEEN %(as_of)s::date - 31 AND %(as_of)s::date + 7 AND sim_key BETWEEN %(first_key)s AND %(last_key)s AND kind = 'data'
    ORDER BY sim_key, abs(day - %(as_of)s::date), day
)
SELECT s.sim_key, CASE WHEN h.automatic THEN d.last_added END AS topup, CASE WHEN h.automatic THEN d.amount_total / 5 END AS topup_at
FROM core.sims AS s LEFT JOIN habit AS h USING (sim_key) LEFT JOIN seen AS d ON d.sim_key = s.sim_key
WHERE s.sim_key BETWEEN %(first_key)s AND %(last_key)s
ORDER BY s.sim_key;
