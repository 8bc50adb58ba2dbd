-- churn_counts of the SIMs with the keys %(sims)s (NULL: all) as of %(as_of)s. Index churn_risks_by_as_of.
SELECT p.cause, c.risk_level, count(*) FILTER (WHERE c.cause = p.cause) AS sims, sum(p.probability) AS expected
FROM predictions.churn_risks AS c
CROSS JOIN LATERAL (VALUES ('dead_device', p_dead_device), ('switched_off', p_switched_off), ('swapped', p_swapped),
                           ('exhausted', p_exhausted), ('expired', p_expired)) AS p (cause, probability)
WHERE c.as_of = %(as_of)s AND (%(sims)s::integer[] IS NULL OR c.sim_key = ANY(%(sims)s::integer[]))
GROUP BY p.cause, c.risk_level ORDER BY p.cause, array_position(ARRAY['high', 'medium', 'low'], c.risk_level);
