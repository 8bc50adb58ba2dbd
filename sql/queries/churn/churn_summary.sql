-- The risks of the latest day: as_of, sims, high, medium, expected (ends within 90 days by the three learnt causes). No row without any.
SELECT as_of, count(*) AS sims, count(*) FILTER (WHERE risk_level = 'high') AS high, count(*) FILTER (WHERE risk_level = 'medium') AS medium,
       sum(p_90) AS expected
FROM predictions.churn_risks WHERE as_of = (SELECT max(as_of) FROM predictions.churn_risks)
GROUP BY as_of;
