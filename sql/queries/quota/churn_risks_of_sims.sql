-- One row a SIM of %(first_key)s to %(last_key)s with its churn risk at 90 days as of %(as_of)s (date): sim_key, risk. Primary key.
SELECT sim_key, p_90 AS risk FROM predictions.churn_risks
WHERE as_of = %(as_of)s AND sim_key BETWEEN %(first_key)s AND %(last_key)s AND p_90 IS NOT NULL
ORDER BY sim_key;
