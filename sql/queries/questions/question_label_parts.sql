-- The parts of labels between their separators that are words, in small letters, those of most SIMs first.
SELECT part
FROM core.sims_v1, LATERAL (SELECT DISTINCT part FROM regexp_split_to_table(lower(label), '[-_/:. ]+') AS p (part)) AS parts
WHERE part ~ '^[[:alpha:]]{2,}$'
GROUP BY part
ORDER BY count(*) DESC, part
LIMIT 200
