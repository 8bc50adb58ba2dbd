-- Daily totals up to %(as_of)s, %(days)s of them, of the groups with the most SIMs: the fleet, the %(labels)s commonest beginnings of labels (up to
-- the first separator) and the %(countries)s commonest countries (where a SIM was seen: the nearest observation, at most a month off); groups of one SIM are left out.
-- One row a group and day with usage; sims is the number of SIMs in the group. Primary keys and chunk exclusion.
WITH placed AS (
    SELECT DISTINCT ON (sim_key) sim_key, country FROM own.sim_connectivity
    WHERE day BETWEEN %(as_of)s::date - 31 AND %(as_of)s::date + 7 AND country IS NOT NULL
    ORDER BY sim_key, abs(day - %(as_of)s::date), day
), grouped AS (
    SELECT s.sim_key, substring(coalesce(s.own_label, s.label) FROM '^[^-_/:. ]+') AS label, p.country
    FROM core.sims AS s LEFT JOIN placed AS p USING (sim_key)
), labels AS (
    SELECT label, count(*) AS sims FROM grouped WHERE label IS NOT NULL
    GROUP BY label HAVING count(*) > 1 ORDER BY count(*) DESC, label LIMIT %(labels)s
), countries AS (
    SELECT country, count(*) AS sims FROM grouped WHERE country IS NOT NULL
    GROUP BY country HAVING count(*) > 1 ORDER BY count(*) DESC, country LIMIT %(countries)s
), members AS (
    SELECT g.sim_key, l.label, c.country
    FROM grouped AS g LEFT JOIN labels AS l USING (label) LEFT JOIN countries AS c USING (country)
), totals AS (
    SELECT m.label, m.country, u.day, sum(u.bytes)::bigint AS bytes, grouping(m.label) AS all_labels, grouping(m.country) AS all_countries
    FROM own.sim_usage AS u JOIN members AS m USING (sim_key)
    WHERE u.day <= %(as_of)s AND u.day > %(as_of)s::date - %(days)s::integer
    GROUP BY GROUPING SETS ((u.day), (m.label, u.day), (m.country, u.day))
)
SELECT CASE WHEN all_labels = 0 THEN 'label' WHEN all_countries = 0 THEN 'country' ELSE 'fleet' END AS kind,
       coalesce(t.label, t.country, 'fleet') AS name,
       coalesce(l.sims, c.sims, (SELECT count(*) FROM core.sims))::integer AS sims, t.day, t.bytes
FROM totals AS t LEFT JOIN labels AS l ON l.label = t.label LEFT JOIN countries AS c ON c.country = t.country
WHERE t.label IS NOT NULL OR t.country IS NOT NULL OR (all_labels = 1 AND all_countries = 1)
ORDER BY kind, name, t.day;
