-- The SIMs with a risk as of %(as_of)s, one row a cause and level: sims, expected (ends within 90 days, the sum of the cause's probability
-- over all SIMs of the level), held_out. Index churn_risks_by_as_of.
SELECT p.cause, c.risk_level, count(*) FILTER (WHERE c.cause = p.cause) AS sims, sum(p.probability) AS expected,
       count(*) FILTER (WHERE c.cause = p.cause AND c.held_out) AS held_out
FROM predictions.churn_risks AS c
CROSS JOIN LATERAL (VALUES ('dead_device', p_dead_device), ('switched_off', p_switched_off), ('swapped', p_swapped),
                           ('exhausted', p_exhausted), ('expired', p_expired)) AS p (cause, probability)
WHERE c.as_of = %(as_of)s
GROUP BY p.cause, c.risk_level
ORDER BY p.cause, array_position(ARRAY['high', 'medium', 'low'], c.risk_level);
