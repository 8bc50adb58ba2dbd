-- Which of some words (small letters, no hyphens) are values of the organization: operators, device types, beginnings of labels.
-- Parameters: words text[].
WITH words AS MATERIALIZED (SELECT unnest(%(words)s::text[]) AS word),
operators AS (SELECT DISTINCT operator FROM core.sims_v1 WHERE operator IS NOT NULL),
labels AS (SELECT DISTINCT substring(label FROM '^[^-_/:. ]+') AS beginning, label FROM core.sims_v1 WHERE label IS NOT NULL)

SELECT word, 'operator' AS field, operator AS value
FROM words JOIN operators ON lower(operator) = word OR starts_with(lower(operator), word || ' ')

UNION ALL

SELECT DISTINCT word, 'label', CASE WHEN plain = word THEN label ELSE beginning END
FROM words JOIN labels ON true
CROSS JOIN LATERAL (SELECT regexp_replace(lower(label), '[-_/:.]+', ' ', 'g') AS plain) AS p
WHERE plain = word OR lower(label) = word OR word IN (lower(beginning), lower(beginning) || 's')
LIMIT 100
